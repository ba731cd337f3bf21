package runner

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// maxAttrs bounds the attributes of one record.
const maxAttrs = 32

// record is a line of stderr in hclog's JSON form: @level, @message, @timestamp,
// @module and attributes.
type record struct {
	level   slog.Level
	message string
	attrs   []attr
}

type attr struct{ key, value string }

var levels = map[string]slog.Level{
	"trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// parseRecord reads a line. Everything that is not exactly a record is not one:
// go-plugin's own parser panics on {"@message":42}.
func parseRecord(line []byte) (record, bool) {
	if len(line) == 0 || line[0] != '{' {
		return record{}, false
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(line, &fields) != nil {
		return record{}, false
	}
	var level, message string
	if json.Unmarshal(fields["@level"], &level) != nil || json.Unmarshal(fields["@message"], &message) != nil {
		return record{}, false
	}
	l, ok := levels[strings.ToLower(level)]
	if !ok {
		return record{}, false
	}
	r := record{level: l, message: message}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		switch key {
		case "@level", "@message", "@timestamp", "@caller":
			continue
		}
		if len(r.attrs) == maxAttrs {
			break
		}
		var text string
		if json.Unmarshal(fields[key], &text) != nil {
			text = string(fields[key])
		}
		r.attrs = append(r.attrs, attr{strings.TrimPrefix(key, "@"), text})
	}
	return r, true
}

// String is the record on one line, for people.
func (r record) String() string {
	var b strings.Builder
	b.WriteString(r.message)
	for _, a := range r.attrs {
		b.WriteString(" " + a.key + "=" + a.value)
	}
	return b.String()
}
