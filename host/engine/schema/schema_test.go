package schema

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestSchemas(t *testing.T) {
	for name, tt := range map[string]struct{ schema, wrong string }{
		"fine":           {`{"type":"object"}`, ""},
		"an older draft": {`{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}`, ""},
		"recursive":      {`{"type":"object","properties":{"next":{"$ref":"#"}}}`, ""},
		"formats":        {`{"type":"string","format":"date"}`, ""},
		"lookahead":      {`{"pattern":"^(?!x)y"}`, ""},
		"doubling":       {doubling(30), "too often"},
		"no schema":      {`{"type":"objekt"}`, "not valid"},
		"not JSON":       {`{"type":`, "not JSON"},
		"remote":         {`{"$ref":"https://example.com/schema.json"}`, "nothing is fetched"},
		"a file":         {`{"$ref":"file:///etc/passwd"}`, "nothing is fetched"},
		"other draft":    {`{"$schema":"https://example.com/mine"}`, "nothing is fetched"},
		"nested":         {strings.Repeat(`{"not":`, 200) + "{}" + strings.Repeat("}", 200), "nested"},
		"large":          {`{"title":"` + strings.Repeat("x", maxSchema) + `"}`, "KiB"},
		"huge number":    {`{"maximum":1e999999999}`, "out of range"},
		"tiny number":    {`{"multipleOf":1e-999999999}`, "out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(json.RawMessage(tt.schema))
			switch {
			case tt.wrong == "":
				if err != nil {
					t.Error(err)
				}
			case err == nil || !strings.Contains(err.Error(), tt.wrong):
				t.Errorf("err = %v", err)
			}
		})
	}
}

// doubling is a schema that checks a value 2^n times.
func doubling(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"$ref":"#/$defs/a%d","$defs":{"a0":{}`, n)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, `,"a%d":{"allOf":[{"$ref":"#/$defs/a%d"},{"$ref":"#/$defs/a%d"}]}`, i, i-1, i-1)
	}
	return b.String() + "}}"
}

func TestBare(t *testing.T) {
	for text, want := range map[string]string{
		" {\"a\":1}\n":                     `{"a":1}`,
		"42":                               "42",
		"```\n[1]\n```":                    "[1]",
		"```json\n{\"a\":\"```\"}\n```":    "{\"a\":\"```\"}",
		"Here: {\"a\":{\"b\":[1]}} - done": `{"a":{"b":[1]}}`,
		"Either [1] or [2]":                "Either [1] or [2]",
		"none":                             "none",
		"{ broken":                         "{ broken",
		"{x} {\"a\":1}":                    `{"a":1}`,
		"":                                 "",
	} {
		if got := Bare(text); got != want {
			t.Errorf("Bare(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzBare(f *testing.F) {
	for _, s := range []string{"```json\n{}\n```", "a {\"b\":1} c", "[[[", "1e999", "\"x\"", "{}{}"} {
		f.Add(s)
	}
	s, err := Compile(json.RawMessage(`{"type":"object","properties":{"a":{"multipleOf":0.1}}}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Bare(text)
		if !strings.Contains(text, got) {
			t.Errorf("%q is no part of %q", got, text)
		}
		if s.Check(got) == nil && !json.Valid([]byte(got)) {
			t.Errorf("%q is no JSON", got)
		}
	})
}
