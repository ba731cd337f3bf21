//go:build unix

package clients

import "testing"

func programs(*testing.T, *record) {}
