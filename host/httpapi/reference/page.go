package reference

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
)

//go:embed page.html
var pageText string

//go:embed page.css
var style string

// Page is a page to serve.
type Page struct {
	// HTML is the page.
	HTML []byte
	// Policy is its Content-Security-Policy: its own style, and nothing else.
	Policy string
}

// Render makes the page of an OpenAPI 3.1 document.
func Render(document []byte) (*Page, error) {
	var d document31
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("reading the template of the reference page: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, d.view()); err != nil {
		return nil, fmt.Errorf("rendering the reference page: %w", err)
	}
	hash := sha256.Sum256([]byte(style))
	return &Page{HTML: b.Bytes(), Policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}, nil
}

// What the template is given.
type (
	view struct {
		Title, Version, Description string
		Style                       template.CSS
		Groups                      []group
		Schemas                     []namedSchema
	}
	group struct {
		Name, Description string
		Operations        []viewOperation
	}
	viewOperation struct {
		ID, Method, Path, Summary, Description string
		Also                                   []string
		Parameters                             []field
		Bodies                                 []body
		Responses                              []viewResponse
	}
	body struct {
		Media, Example string
		Type           []word
	}
	viewResponse struct {
		Status, Description string
		Bodies              []body
	}
	namedSchema struct {
		Name, Description string
		Type              []word
		Fields            []field
	}
	field struct {
		Name, In, Description string
		Required              bool
		Type                  []word
	}
)

func (d *document31) view() view {
	v := view{Title: d.Info.Title, Version: d.Info.Version, Description: d.Info.Description, Style: template.CSS(style)} //nolint:gosec // our own file
	for _, tag := range d.Tags {
		g := group{Name: tag.Name, Description: tag.Description}
		for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
			for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
				if op := d.Paths[path][method]; slices.Contains(op.Tags, tag.Name) {
					g.Operations = append(g.Operations, d.operation(strings.ToUpper(method), path, op))
				}
			}
		}
		v.Groups = append(v.Groups, g)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		s := d.Components.Schemas[name]
		v.Schemas = append(v.Schemas, namedSchema{Name: name, Description: s.Description, Type: s.words(), Fields: s.fields()})
	}
	return v
}

func (d *document31) operation(method, path string, op operation) viewOperation {
	o := viewOperation{ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, Description: op.Description, Also: op.Also}
	for _, p := range op.Parameters {
		if p.Ref != "" {
			p = d.Components.Parameters[last(p.Ref)]
		}
		o.Parameters = append(o.Parameters, field{Name: p.Name, In: p.In, Description: p.Description, Required: p.Required, Type: p.Schema.words()})
	}
	if op.RequestBody != nil {
		o.Bodies = bodies(op.RequestBody.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		r := op.Responses[status]
		if r.Ref != "" {
			r = d.Components.Responses[last(r.Ref)]
		}
		o.Responses = append(o.Responses, viewResponse{Status: status, Description: r.Description, Bodies: bodies(r.Content)})
	}
	return o
}

func bodies(content map[string]media) (out []body) {
	for _, name := range slices.Sorted(maps.Keys(content)) {
		m := content[name]
		b := body{Media: name, Type: m.Schema.words()}
		if len(m.Example) > 0 {
			var example bytes.Buffer
			if err := json.Indent(&example, m.Example, "", "  "); err == nil {
				b.Example = example.String()
			}
		}
		out = append(out, b)
	}
	return out
}

// last is the name at the end of a reference.
func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }
