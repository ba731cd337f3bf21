package dialecttest

import (
	"bytes"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/clinvk/clinvk/host/httpapi/openapi"
)

var compiled struct {
	sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
}

// Valid fails the test unless body matches a schema of the OpenAPI document.
func Valid(t TB, schema string, body []byte) {
	t.Helper()
	s, err := find(schema)
	if err != nil {
		t.Fatalf("the schema %s: %v", schema, err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("not JSON: %v: %s", err, body)
	}
	if err := s.Validate(v); err != nil {
		t.Fatalf("not a %s: %v\n%s", schema, err, body)
	}
}

func find(name string) (*jsonschema.Schema, error) {
	c := &compiled
	c.Lock()
	defer c.Unlock()
	if c.compiler == nil {
		text, err := openapi.Document("0")
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		c.compiler, c.schemas = jsonschema.NewCompiler(), map[string]*jsonschema.Schema{}
		c.compiler.AssertFormat()
		if err := c.compiler.AddResource("openapi.json", doc); err != nil {
			return nil, err
		}
	}
	if s := c.schemas[name]; s != nil {
		return s, nil
	}
	s, err := c.compiler.Compile("openapi.json#/components/schemas/" + name)
	if err == nil {
		c.schemas[name] = s
	}
	return s, err
}
