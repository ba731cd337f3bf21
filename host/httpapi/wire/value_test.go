package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// tree reads a whole value the way decoders do, level by level.
func tree(t *testing.T, v Value) any {
	t.Helper()
	switch {
	case v.IsNull():
		return nil
	case v.IsString():
		s, err := v.String()
		if err != nil {
			t.Fatal(err)
		}
		return s
	case v.IsArray():
		out := []any{}
		for i, e := range v.Elements() {
			if i != len(out) {
				t.Fatalf("element %d has the index %d", len(out), i)
			}
			out = append(out, tree(t, e))
		}
		if v.Length() != len(out) {
			t.Fatalf("Length is %d, there are %d elements", v.Length(), len(out))
		}
		return out
	case v.IsObject():
		o, err := v.Object()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]any{}
		for _, m := range o.members {
			out[m.name] = tree(t, o.Get(m.name))
		}
		return out
	case v.isNumber():
		return json.Number(v.raw)
	}
	b, err := v.Bool()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{}`, ` { "a" : [ 1 , -2.5e3 , "x\"y\\" , true , false , null , { } , [ ] ] , "b":{"c":"\ud83d\ude00"} } `,
		`{"a":1,"a":2}`, `{"\\":"\\\\","\"":"\\\""}`, `{"a":"\ud83d"}`, `{"a":"\ud83d\u0041\udc00\ud83dx\/\b\f\uABCD\u00e9"}`, `[1]`, `"x"`, `null`, ``, `{`, `{"a":}`, `{"a":1}x`, "{\"a\":\"\xff\"}",
		`{"a":[[[[]]]]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := Parse(body)
		d := json.NewDecoder(strings.NewReader(string(body)))
		d.UseNumber()
		var want map[string]any
		if json.Valid(body) != (err == nil) && err == nil {
			t.Fatal("took what is not valid")
		}
		if err != nil {
			if json.Unmarshal(body, &want) == nil && want != nil {
				t.Fatalf("refused a valid object: %v", err)
			}
			return
		}
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if members, _ := v.Object(); len(members.members) >= maxMembers {
			return
		}
		if !utf8.Valid(body) {
			tree(t, v) // how many U+FFFD there are is not the same
			return
		}
		if diff := cmp.Diff(any(want), tree(t, v)); diff != "" {
			t.Fatalf("differs from encoding/json (-want +got):\n%s", diff)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1f\x7f\"\\/\b\f\n\r\t", "é日😀", "\u0085\u2028\u2029\ufffd", "\xff\xc3\x28\xed\xa0\x80", "<script>&amp;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendString(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q is not JSON: %v", b, err)
		}
		if want := strings.ToValidUTF8(s, "\uFFFD"); utf8.ValidString(s) && got != want {
			t.Fatalf("%q came back as %q", want, got)
		}
		if !utf8.ValidString(got) || strings.ContainsAny(string(b), "\n\r\u0085\u2028\u2029") {
			t.Fatalf("not fit for an event: %q", b)
		}
	})
}

func TestErrors(t *testing.T) {
	v, err := Parse([]byte(`{"s":"x","n":1.5,"big":1e400,"neg":-1,"b":true,"a":[{"x":[1]},"y"],"o":{"p":{"q":null}},"e":""}`))
	if err != nil {
		t.Fatal(err)
	}
	o, err := v.Object()
	if err != nil {
		t.Fatal(err)
	}
	element := func(i int) (found Value) {
		for n, e := range o.Get("a").Elements() {
			if n == i {
				found = e
			}
		}
		return found
	}
	inner, err := element(0).Object()
	if err != nil {
		t.Fatal(err)
	}
	of := func(_ any, err error) error { return err }
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"absent":        {of(o.Get("none").String()), "none is required"},
		"wrong type":    {of(o.Get("n").String()), "n must be a string, not a number"},
		"empty":         {of(o.Get("e").NonEmpty()), "e must not be empty"},
		"boolean":       {of(o.Get("s").Bool()), "s must be a boolean, not a string"},
		"number":        {of(o.Get("b").Float(0, 1)), "b must be a number, not a boolean"},
		"integer":       {of(o.Get("s").Int(0)), "s must be an integer, not a string"},
		"no integer":    {of(o.Get("n").Int(0)), "n must be an integer"},
		"huge integer":  {of(o.Get("big").Int(0)), "big must be an integer"},
		"huge number":   {of(o.Get("big").Float(0, 1)), "big must be between 0 and 1"},
		"too small":     {of(o.Get("neg").Int(0)), "neg must be at least 0"},
		"out of bounds": {of(o.Get("n").Float(0, 1)), "n must be between 0 and 1"},
		"array":         {of(o.Get("o").Array()), "o must be an array, not an object"},
		"object":        {of(element(1).Object()), "a[1] must be an object, not a string"},
		"nested":        {of(inner.Get("x").String()), "a[0].x must be a string, not an array"},
		"unknown":       {o.Get("s").Unknown("a", "b"), `s must be one of a, b, not "x"`},
		"null":          {of(o.Get("o").String()), "o must be a string, not an object"},
		"base64":        {of(o.Get("neg").Base64()), "neg must be a string, not a number"},
		"no object":     {of(Parse([]byte(`[1]`))), "the body must be a JSON object, not an array"},
		"no JSON":       {of(Parse([]byte(`{"a":`))), "the body is not valid JSON: unexpected end of JSON input at byte 5"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.err == nil || tt.err.Error() != tt.want {
				t.Errorf("got %v, want %s", tt.err, tt.want)
			}
		})
	}
}

func TestNumbers(t *testing.T) {
	for raw, want := range map[string]int64{"0": 0, "7": 7, "10.0": 10, "1e3": 1000, "9223372036854775807": 1<<63 - 1, "-3": -3} {
		n, err := Value{raw: []byte(raw)}.Int(-10)
		if err != nil || *n != want {
			t.Errorf("%s: got %v, %v", raw, n, err)
		}
	}
}

func TestManyMembers(t *testing.T) {
	var b strings.Builder
	for range maxMembers + 1 {
		b.WriteString(`,"k":1`)
	}
	v, err := Parse([]byte("{" + b.String()[1:] + "}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Object(); err == nil {
		t.Error("no bound on members")
	}
}

func TestDepth(t *testing.T) {
	deep := `{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `,"b":1}`
	v, err := Parse([]byte(deep))
	if err != nil {
		t.Fatal(err)
	}
	o, err := v.Object()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := o.Get("b").Int(0); err != nil || *n != 1 {
		t.Errorf("got %v, %v", n, err)
	}
	if _, err := Parse([]byte(`{"a":` + strings.Repeat("[", 1<<20))); err == nil {
		t.Error("took an endless array")
	}
}

func TestDataURL(t *testing.T) {
	for name, tt := range map[string]struct{ url, media, data string }{
		"plain":      {"data:image/png;base64,aGk=", "image/png", "hi"},
		"unpadded":   {"data:image/png;base64,aGk", "image/png", "hi"},
		"case":       {"DATA:Image/PNG;base64,aGk=", "image/png", "hi"},
		"parameters": {"data:text/plain;charset=utf-8;base64,aGk=", "text/plain", "hi"},
		"url safe":   {"data:a/b;base64,_-8", "a/b", "\xff\xef"},
		"lines":      {"data:a/b;base64,aG\nk=\n", "a/b", "hi"},
		"remote":     {"https://example.com/x.png", "", ""},
		"text":       {"data:text/plain,hi", "", ""},
		"no comma":   {"data:image/png;base64", "", ""},
		"no type":    {"data:;base64,aGk=", "", ""},
		"no base64":  {"data:image/png;base64,a*b", "", ""},
		"no content": {"data:image/png;base64,", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			media, data, err := Value{raw: AppendString(nil, tt.url)}.DataURL()
			if (err == nil) != (tt.media != "") || media != tt.media && err == nil || string(data) != tt.data && err == nil {
				t.Errorf("got %q, %q, %v", media, data, err)
			}
		})
	}
}

func TestAppendArguments(t *testing.T) {
	for arguments, want := range map[string]string{
		"":               `{}`,
		`{"a": [1, 2]}`:  `{"a":[1,2]}`,
		`{"a":`:          `{"arguments":"{\"a\":"}`,
		`[1]`:            `{"arguments":"[1]"}`,
		` {"a":"<b>&"} `: `{"a":"<b>&"}`,
	} {
		if got := string(AppendArguments(nil, arguments)); got != want {
			t.Errorf("%q: got %s, want %s", arguments, got, want)
		}
	}
}

func TestLabels(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"%d":"",`, i)
		}
		return "{" + strings.TrimSuffix(b.String(), ",") + "}"
	}
	for labels, want := range map[string]string{
		`{}`:               "",
		`{"a":"b","c":""}`: "",
		`{"a":"` + strings.Repeat("é", maxLabelValue) + `"}`: "",
		many(maxLabels): "",
		`"x"`:           "metadata must be an object, not a string",
		`{"a":1}`:       "metadata.a must be a string, not a number",
		`{"a":null}`:    "metadata.a must be a string, not null",
		`{"a":"` + strings.Repeat("x", maxLabelValue+1) + `"}`: "metadata.a must have at most 512 characters",
		`{"` + strings.Repeat("x", maxLabelName+1) + `":""}`:   "metadata must have names of at most 64 characters",
		many(maxLabels + 1): "metadata must have at most 16 members",
	} {
		v, err := Parse([]byte(`{"metadata":` + labels + `}`))
		if err != nil {
			t.Fatal(err)
		}
		o, err := v.Object()
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Get("metadata").Labels(); want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%.40s: got %v, want %q", labels, err, want)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	body := []byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"` + strings.Repeat(`a line of a prompt\n`, 10000) + `"}]}]}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		v, err := Parse(body)
		if err != nil {
			b.Fatal(err)
		}
		o, err := v.Object()
		if err != nil {
			b.Fatal(err)
		}
		for _, m := range o.Get("messages").Elements() {
			mo, err := m.Object()
			if err != nil {
				b.Fatal(err)
			}
			for _, p := range mo.Get("content").Elements() {
				po, err := p.Object()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := po.Get("text").String(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}
