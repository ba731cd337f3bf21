// Package rest is clinvk's own HTTP dialect, /api/v1.
package rest
