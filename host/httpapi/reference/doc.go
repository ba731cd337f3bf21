// Package reference renders an OpenAPI document as a page for people, which needs
// nothing but itself.
package reference
