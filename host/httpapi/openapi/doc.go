// Package openapi holds the OpenAPI document of all routes: one file per dialect,
// kept by hand and checked by tests against what is really answered.
package openapi
