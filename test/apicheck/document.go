package apicheck

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/clinvk/clinvk/host/httpapi/openapi"
)

// Document is a compiled OpenAPI document. Its methods may be called concurrently.
type Document struct {
	paths   []*path
	aliases map[string]string    // prefix to the documented prefix
	errors  map[string]*response // of paths without an operation, by prefix
}

// path is one documented path, or one that an operation names in x-also.
type path struct {
	template   string
	pattern    *regexp.Regexp
	operations map[string]*operation // by method
}

type operation struct {
	request   *jsonschema.Schema   // nil: none
	responses map[string]*response // by status or "default"
}

type response struct {
	headers []string // that must be there
	content map[string]*media
}

// media is the content of one type. schema is nil when any text will do.
type media struct {
	schema *jsonschema.Schema
	stream *stream
}

// stream says what a sequence of events is; its items are held to the media's schema.
type stream struct {
	// name is the member of an event's data that its event line repeats; empty: there
	// is no such line.
	name string
	// end is the text, not JSON, of the last event; empty: there is none.
	end string
	// last is what the last event's data matches otherwise, and only that one.
	last *jsonschema.Schema
}

// The document as it is written.
type (
	rawDocument struct {
		Paths   map[string]map[string]rawOperation
		Aliases map[string]string      `json:"x-aliases"`
		Errors  map[string]rawResponse `json:"x-errors"`

		Components struct {
			Responses map[string]rawResponse
			Headers   map[string]rawHeader
		}
	}
	rawOperation struct {
		Also       []string `json:"x-also"`
		Parameters []struct {
			Slashes bool `json:"x-slashes"`
		}
		RequestBody *struct {
			Content map[string]json.RawMessage
		}
		Responses map[string]rawResponse
	}
	rawHeader struct {
		Ref      string `json:"$ref"`
		Required bool
	}
	rawResponse struct {
		Ref     string `json:"$ref"`
		Headers map[string]rawHeader
		Content map[string]struct {
			Schema json.RawMessage
			Stream *struct {
				Name, End string
				Last      json.RawMessage
			} `json:"x-stream"`
		}
	}
)

// Own is the document of this server.
var Own = sync.OnceValues(func() (*Document, error) {
	text, err := openapi.Document("0")
	if err != nil {
		return nil, err
	}
	return Parse(text)
})

// Parse compiles a document.
func Parse(text []byte) (*Document, error) {
	var raw rawDocument
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	c := &compiler{schemas: jsonschema.NewCompiler(), raw: &raw}
	c.schemas.AssertFormat()
	if err := c.schemas.AddResource(resource, tree); err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	d := &Document{aliases: raw.Aliases, errors: map[string]*response{}}
	for prefix, r := range raw.Errors {
		d.errors[prefix] = c.response(r, "x-errors", prefix)
	}
	for template, methods := range raw.Paths {
		for method, op := range methods {
			compiled := c.operation(op, "paths", template, method)
			slashes := false
			for _, p := range op.Parameters {
				slashes = slashes || p.Slashes
			}
			d.add(strings.ToUpper(method), template, slashes, compiled)
			for _, also := range op.Also {
				method, template, ok := strings.Cut(also, " ")
				if !ok {
					c.fail(fmt.Errorf("x-also %q is no method and path", also))
				}
				d.add(method, template, true, compiled)
			}
		}
	}
	slices.SortFunc(d.paths, func(a, b *path) int { // those without parameters first
		return cmp.Or(cmp.Compare(strings.Count(a.template, "{"), strings.Count(b.template, "{")), cmp.Compare(len(b.template), len(a.template)))
	})
	return d, c.err
}

const resource = "openapi.json"

// compiler keeps the first error.
type compiler struct {
	schemas *jsonschema.Compiler
	raw     *rawDocument
	err     error
}

func (c *compiler) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// schema compiles what is at a place in the document.
func (c *compiler) schema(place ...string) *jsonschema.Schema {
	pointer := "#"
	for _, name := range place {
		name = strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
		pointer += "/" + url.PathEscape(name)
	}
	s, err := c.schemas.Compile(resource + pointer)
	if err != nil {
		c.fail(fmt.Errorf("the schema %s: %w", pointer, err))
	}
	return s
}

func (c *compiler) operation(raw rawOperation, place ...string) *operation {
	op := &operation{responses: map[string]*response{}}
	if raw.RequestBody != nil {
		op.request = c.schema(append(slices.Clone(place), "requestBody", "content", "application/json", "schema")...)
	}
	for status, r := range raw.Responses {
		op.responses[status] = c.response(r, append(slices.Clone(place), "responses", status)...)
	}
	return op
}

func (c *compiler) response(raw rawResponse, place ...string) *response {
	if raw.Ref != "" {
		name := strings.TrimPrefix(raw.Ref, "#/components/responses/")
		target, ok := c.raw.Components.Responses[name]
		if !ok || target.Ref != "" {
			c.fail(fmt.Errorf("%s leads to no response", raw.Ref))
			return &response{}
		}
		return c.response(target, "components", "responses", name)
	}
	r := &response{content: map[string]*media{}}
	for name, h := range raw.Headers {
		if h.Ref != "" {
			h = c.raw.Components.Headers[strings.TrimPrefix(h.Ref, "#/components/headers/")]
		}
		if h.Required {
			r.headers = append(r.headers, name)
		}
	}
	for kind, content := range raw.Content {
		at := append(slices.Clone(place), "content", kind)
		m := &media{}
		if content.Schema != nil {
			m.schema = c.schema(append(slices.Clone(at), "schema")...)
		}
		if s := content.Stream; s != nil {
			m.stream = &stream{name: s.Name, end: s.End}
			if s.Last != nil {
				m.stream.last = c.schema(append(slices.Clone(at), "x-stream", "last")...)
			}
		}
		r.content[kind] = m
	}
	return r
}

var parameter = regexp.MustCompile(`\\\{[^}]*\\\}`)

// add adds an operation; slashes says that a parameter at the end may hold them, or
// be empty.
func (d *Document) add(method, template string, slashes bool, op *operation) {
	for _, p := range d.paths {
		if p.template == template {
			p.operations[method] = op
			return
		}
	}
	pattern := parameter.ReplaceAllString(regexp.QuoteMeta(template), `[^/]+`)
	if slashes && strings.HasSuffix(template, "}") {
		pattern = strings.TrimSuffix(pattern, `[^/]+`) + `.*`
	}
	d.paths = append(d.paths, &path{template, regexp.MustCompile("^" + pattern + "$"), map[string]*operation{method: op}})
}

// find returns what is documented for a path: nil, if nothing is.
func (d *Document) find(name string) *path {
	longest := ""
	for alias := range d.aliases {
		if strings.HasPrefix(name, alias+"/") && len(alias) > len(longest) {
			longest = alias
		}
	}
	names := []string{name}
	if longest != "" {
		names = append(names, d.aliases[longest]+strings.TrimPrefix(name, longest))
	}
	for _, name := range names {
		for _, p := range d.paths {
			if p.pattern.MatchString(name) {
				return p
			}
		}
	}
	return nil
}

// failure is how errors are told at a path without an operation.
func (d *Document) failure(name string) *response {
	longest, found := -1, (*response)(nil)
	for prefix, r := range d.errors {
		inside := name == prefix || strings.HasPrefix(name, strings.TrimSuffix(prefix, "/")+"/")
		if inside && len(prefix) > longest {
			longest, found = len(prefix), r
		}
	}
	return found
}

// operation is that of a method; HEAD is answered wherever GET is.
func (p *path) operation(method string) *operation {
	if op := p.operations[method]; op != nil || method != http.MethodHead {
		return op
	}
	return p.operations[http.MethodGet]
}
