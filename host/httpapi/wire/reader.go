package wire

import "unicode/utf8"

// Reader reads the optional members of an object and keeps the first error, so that
// a decoder reads like a list of fields. Absent and null members give the zero value.
type Reader struct {
	Object
	err error
}

// Read begins to read the members of o.
func Read(o Object) *Reader { return &Reader{Object: o} }

// Err is the first error.
func (r *Reader) Err() error { return r.err }

// Fail keeps err unless there was one before.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// String reads a string.
func (r *Reader) String(name string) string {
	s, err := r.Get(name).OptionalString()
	r.Fail(err)
	return s
}

// Bool reads a boolean.
func (r *Reader) Bool(name string) bool {
	b, err := r.Get(name).Bool()
	r.Fail(err)
	return b
}

// Float reads a number within bounds.
func (r *Reader) Float(name string, low, high float64) *float64 {
	f, err := r.Get(name).Float(low, high)
	r.Fail(err)
	return f
}

// Int reads an integer of at least low.
func (r *Reader) Int(name string, low int64) *int64 {
	n, err := r.Get(name).Int(low)
	r.Fail(err)
	return n
}

// Word reads a short name in lower case, such as a level of effort: something that
// can be handed to a program without a second thought.
func (r *Reader) Word(name string) string {
	v := r.Get(name)
	s, err := v.OptionalString()
	if err == nil && !isWord(s) {
		err = v.Errorf("must be a word of at most %d small letters, digits, '-' and '_'", maxWord)
	}
	r.Fail(err)
	return s
}

const maxWord = 32

func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (i == 0 || c != '-' && c != '_') {
			return false
		}
	}
	return len(s) <= maxWord
}

// Strings reads an array of at most limit strings, none of them empty.
func (r *Reader) Strings(name string, limit int) []string {
	v := r.Get(name)
	if v.IsNull() {
		return nil
	}
	elements, err := v.Array()
	if err != nil {
		r.Fail(err)
		return nil
	}
	var out []string
	for i, e := range elements {
		if i == limit {
			r.Fail(v.Errorf("must have at most %d elements", limit))
			return nil
		}
		s, err := e.NonEmpty()
		if err != nil {
			r.Fail(err)
			return nil
		}
		out = append(out, s)
	}
	return out
}

// Objects checks that members, where there are any, are objects.
func (r *Reader) Objects(names ...string) {
	for _, name := range names {
		if v := r.Get(name); !v.IsNull() && !v.IsObject() {
			r.Fail(v.want("an object"))
		}
	}
}

// Labels checks metadata as OpenAI has it: strings by names, with the bounds of its API.
func (v Value) Labels() error {
	o, err := v.Object()
	if err != nil {
		return err
	}
	if len(o.members) > maxLabels {
		return v.Errorf("must have at most %d members", maxLabels)
	}
	for _, m := range o.members {
		if utf8.RuneCountInString(m.name) > maxLabelName {
			return v.Errorf("must have names of at most %d characters", maxLabelName)
		}
		s, err := o.Get(m.name).String()
		if err != nil {
			return err
		}
		if utf8.RuneCountInString(s) > maxLabelValue {
			return o.Get(m.name).Errorf("must have at most %d characters", maxLabelValue)
		}
	}
	return nil
}

// Bounds of OpenAI's metadata.
const (
	maxLabels     = 16
	maxLabelName  = 64
	maxLabelValue = 512
)

// ToolName reads the name of a tool: 1 to 128 letters, digits, '_' and '-'.
func (v Value) ToolName() (string, error) {
	s, err := v.NonEmpty()
	if err != nil {
		return "", err
	}
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '_' && s[i] != '-' {
			return "", v.Errorf("must consist of letters, digits, '_' and '-'")
		}
	}
	if len(s) > maxToolName {
		return "", v.Errorf("must have at most %d characters", maxToolName)
	}
	return s, nil
}

// maxToolName is what Anthropic takes; OpenAI takes 64.
const maxToolName = 128
