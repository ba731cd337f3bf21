package apicheck

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Exchange is one request and what was answered.
type Exchange struct {
	Method, Path string
	Request      []byte
	// RequestWhole says that Request is all that the client wanted to send.
	RequestWhole bool
	Status       int
	Header       http.Header
	Body         []byte
	// Cut says that the answer was broken off, by whichever side.
	Cut bool
}

// Check says what in an exchange is not as documented.
func (d *Document) Check(x Exchange) []string {
	c := &check{x: x}
	if x.Method == http.MethodOptions && x.Status == http.StatusNoContent {
		c.empty()
		return c.violations
	}
	p := d.find(x.Path)
	var op *operation
	if p != nil {
		op = p.operation(x.Method)
	}
	if op == nil {
		c.refused(p, d.failure(x.Path))
		return c.violations
	}
	r := op.responses[strconv.Itoa(x.Status)]
	if r == nil && x.Status >= http.StatusBadRequest {
		r = op.responses["default"]
	}
	if r == nil {
		c.add("the status %d is not documented", x.Status)
		return c.violations
	}
	c.response(r)
	if x.Status/100 == 2 && op.request != nil && x.RequestWhole {
		c.json("the request, which was answered,", op.request, x.Request)
	}
	return c.violations
}

// check collects violations of one exchange.
type check struct {
	x          Exchange
	violations []string
}

func (c *check) add(format string, args ...any) {
	c.violations = append(c.violations, fmt.Sprintf(format, args...))
}

// refused checks the answer where there is no operation.
func (c *check) refused(p *path, r *response) {
	switch {
	case c.x.Status < http.StatusBadRequest:
		c.add("the operation is not documented, and was answered with status %d", c.x.Status)
	case p == nil && c.x.Status == http.StatusMethodNotAllowed:
		c.add("the path is not documented, and takes %s", c.x.Header.Get("Allow"))
	case p != nil && c.x.Status == http.StatusNotFound:
		c.add("the path is documented, and was not found")
	case p != nil && c.x.Status == http.StatusMethodNotAllowed:
		c.allowed(p)
	}
	if r == nil {
		c.add("no form of errors is documented for this path")
		return
	}
	c.response(r)
}

// allowed holds Allow to the documented methods.
func (c *check) allowed(p *path) {
	var want []string
	for method := range p.operations {
		want = append(want, method)
		if method == http.MethodGet {
			want = append(want, http.MethodHead)
		}
	}
	got := strings.Split(c.x.Header.Get("Allow"), ", ")
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		c.add("Allow names %v, documented are %v", got, want)
	}
}

// response checks headers, content type and body.
func (c *check) response(r *response) {
	for _, name := range slices.Sorted(slices.Values(r.headers)) {
		if c.x.Header.Get(name) == "" {
			c.add("there is no header %s", name)
		}
	}
	kind, _, err := mime.ParseMediaType(c.x.Header.Get("Content-Type"))
	if err != nil && len(r.content) > 0 {
		c.add("the content type is %q", c.x.Header.Get("Content-Type"))
		return
	}
	if len(r.content) == 0 || c.x.Method == http.MethodHead {
		c.empty()
		return
	}
	m := r.content[kind]
	if m == nil {
		c.add("the content type %s is not documented for status %d", kind, c.x.Status)
		return
	}
	if !utf8.Valid(c.x.Body) && !c.x.Cut {
		c.add("the body is not UTF-8")
	}
	switch {
	case m.stream != nil:
		c.stream(m, kind == "text/event-stream")
	case c.x.Cut:
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		c.json("the body", m.schema, c.x.Body)
	}
}

func (c *check) empty() {
	if len(c.x.Body) > 0 {
		c.add("there is a body where none is documented")
	}
}

// json holds one JSON text to a schema; it returns the value, or nil.
func (c *check) json(what string, s *jsonschema.Schema, text []byte) any {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		c.add("%s is not JSON: %v", what, err)
		return nil
	}
	if s == nil {
		return v
	}
	if err := s.Validate(v); err != nil {
		_, reasons, _ := strings.Cut(err.Error(), "\n") // the first line only says that it failed
		c.add("%s is not as documented:\n%s", what, reasons)
	}
	return v
}
