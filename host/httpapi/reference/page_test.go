package reference_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/httpapi/openapi"
	"github.com/clinvk/clinvk/host/httpapi/reference"
)

// TestPage: each operation and schema is there, and each link within the page leads
// somewhere.
func TestPage(t *testing.T) {
	document, err := openapi.Document("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	page, err := reference.Render(document)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Paths      map[string]map[string]struct{ OperationID, Summary string }
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	html := string(page.HTML)
	has := func(text string) {
		t.Helper()
		if !strings.Contains(html, text) {
			t.Errorf("there is no %s", text)
		}
	}
	has("<title>clinvk 1.2.3</title>")
	for path, methods := range d.Paths {
		has("<code>" + path + "</code>")
		for _, op := range methods {
			has(`<section id="` + op.OperationID + `">`)
		}
	}
	for name := range d.Components.Schemas {
		has(`<section id="schema-` + name + `">`)
	}
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(html, -1) {
		has(`id="` + m[1] + `"`)
	}
}

// TestNothingFromElsewhere: the page has no script and loads nothing, and its policy
// would not let it.
func TestNothingFromElsewhere(t *testing.T) {
	page, err := reference.Render([]byte(`{
		"info": {"title": "<script>alert(1)</script>", "description": "https://example.com/x.js"}, "tags": [{"name": "a"}],
		"paths": {"/x": {"get": {"operationId": "x", "tags": ["a"], "summary": "<img src=x>",
			"parameters": [{"name": "n", "in": "query", "schema": true}], "responses": {"200": {"description": "&"}}}}}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	if bad := regexp.MustCompile(`<(script|img|link|iframe|object)|\s(src|on[a-z]+)=|@import|url\(`).FindString(
		strings.ReplaceAll(string(page.HTML), "&lt;img src=x&gt;", "")); bad != "" {
		t.Errorf("the page has %s:\n%s", bad, page.HTML)
	}
	if !strings.HasPrefix(page.Policy, "default-src 'none'; style-src 'sha256-") {
		t.Error(page.Policy)
	}
}

func TestTypes(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type": "string"}`:                                  `<p>string</p>`,
		`{"type": ["string", "null"]}`:                        `<p>string | null</p>`,
		`{"type": "integer", "default": 3}`:                   `<p>integer, default 3</p>`,
		`{"enum": ["a", 1], "default": "a"}`:                  `<p>&#34;a&#34; | 1, default &#34;a&#34;</p>`,
		`{"const": "a"}`:                                      `<p>&#34;a&#34;</p>`,
		`{"type": "array", "items": {"type": "string"}}`:      `<p>array of string</p>`,
		`{"$ref": "#/components/schemas/X"}`:                  `<p><a href="#schema-X">X</a></p>`,
		`{"oneOf": [{"type": "string"}, {"type": "object"}]}`: `<p>string | object</p>`,
		`{"allOf": [{"type": "object"}, true]}`:               `<p>object &amp; anything</p>`,
		`{"anyOf": [{"const": null}]}`:                        `<p>anything</p>`,
		`{}`:                                                  `<p>anything</p>`,
		`{"type": "object", "required": ["b"], "properties": {"a": {"description": "first"}, "b": {}}}`: `<td><code>b</code> <em>required</em></td><td>anything</td><td></td></tr>
<tr><td><code>a</code></td><td>anything</td><td>first</td></tr>`,
	} {
		page, err := reference.Render([]byte(`{"components": {"schemas": {"X": ` + schema + `}}}`))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page.HTML), want) {
			t.Errorf("%s: there is no %s in %s", schema, want, page.HTML[strings.Index(string(page.HTML), `id="schemas"`):])
		}
	}
}

func TestNoDocument(t *testing.T) {
	if page, err := reference.Render([]byte(`[]`)); err == nil {
		t.Errorf("%s", page.HTML)
	}
}
