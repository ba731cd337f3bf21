package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestChaosFlags(t *testing.T) {
	tests := []struct {
		name, args, want string
	}{
		{"form", "chaos -o yaml", "text or json"},
		{"duration", "chaos --duration 0s", "more than 0"},
		{"clients", "chaos --clients -1", "more than 0"},
		{"argument", "chaos now", "unknown command"},
		{"plugin by hand", "chaos-plugin good", "clinvk chaos starts by itself"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, err bytes.Buffer
			code := execute(t.Context(), strings.Fields(tt.args), streams{strings.NewReader(""), &out, &err})
			if code != exitGeneral || !strings.Contains(err.String(), tt.want) || out.Len() > 0 {
				t.Errorf("exit status %d, %s%s", code, &err, &out)
			}
		})
	}
}
