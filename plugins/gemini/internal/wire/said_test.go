package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// said is the conversation as "role part part …".
func said(t *testing.T, contents []Content) []string {
	t.Helper()
	var out []string
	for _, c := range contents {
		line := c.Role
		for _, p := range c.Parts {
			b, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			line += " " + string(b)
		}
		out = append(out, line)
	}
	return out
}

func TestSaid(t *testing.T) {
	const (
		prompt = `{"id":"p","type":"user","content":[{"text":""}]}` + "\n" + `{"$set":{"lastUpdated":"x"}}` + "\n"
		answer = `{"id":"a","type":"gemini","content":"hel lo","thoughts":[{"subject":"s"}]}` + "\n"
		calls  = `{"id":"c","type":"gemini","content":"","toolCalls":[{"id":"1","name":"f","args":{"x":1},"result":[{"functionResponse":{"id":"1","name":"f","response":{"output":"of f"}}}]}]}` + "\n"
		result = `{"id":"r","type":"user","content":[{"functionResponse":{"id":"1","name":"f","response":{"output":"of f"}}}]}` + "\n"

		spoken   = `{"parts":[{"text":"t","thought":true},{"text":" hel"},{"text":" lo "},{"text":"","thoughtSignature":"c2ln"}]}`
		called   = `{"parts":[{"thoughtSignature":"c2ln","functionCall":{"id":"1","name":"f","args":{"x":1}}},{"functionCall":{"id":"2","name":"g"}}]}`
		another  = `{"parts":[{"text":"of another agent"}]}`
		calledIs = `model {"functionCall":{"id":"1","name":"f","args":{"x":1}},"thoughtSignature":"c2ln"} {"functionCall":{"id":"2","name":"g","args":{}}}`
		spokenIs = `model {"text":" hel lo "} {"text":"","thoughtSignature":"c2ln"}`
		resultIs = `{"functionResponse":{"id":"1","name":"f","response":{"output":"of f"}}}`
		lostIs   = `{"functionResponse":{"id":"2","name":"g","response":` + interrupted + `}}`
	)
	tests := []struct {
		name      string
		session   string
		responses []string
		want      []string
	}{
		{"nothing", prompt, nil, nil},
		{"an answer", prompt + answer, []string{spoken}, []string{spokenIs}},
		{"an answer that the record does not have", prompt + answer, nil, []string{`model {"text":"hel lo"}`}},
		{"calls", prompt + calls + result + answer, []string{called, spoken},
			[]string{calledIs, "user " + lostIs, "user " + resultIs, spokenIs}},
		{"calls whose results were not sent", prompt + calls, []string{called}, []string{calledIs, "user " + resultIs + " " + lostIs}},
		{"calls that the record does not have", prompt + calls + result, nil,
			[]string{`model {"functionCall":{"id":"1","name":"f","args":{"x":1}},"thoughtSignature":"` + noSignature + `"}`, "user " + resultIs}},
		{"another agent", prompt + calls + result + answer, []string{called, another, another, spoken},
			[]string{calledIs, "user " + lostIs, "user " + resultIs, spokenIs}},
		{"taken back", prompt + answer + `{"$set":{"messages":[]}}` + "\n", []string{spoken}, []string{spokenIs}},
		{"written again", prompt + answer + answer, []string{spoken}, []string{spokenIs}},
		{"words of the CLI", prompt + answer + `{"id":"u","type":"user","content":"go on"}` + "\n", []string{spoken}, []string{spokenIs, `user {"text":"go on"}`}},
		{"media", prompt +
			`{"id":"r","type":"user","content":[{"functionResponse":{"id":"1","name":"f","response":{"output":"one","__binary_injection__":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}}}]}` + "\n" +
			`{"id":"b","type":"gemini","content":[{"text":"Binary content received.","thought":true}]}` + "\n" +
			`{"id":"m","type":"info","content":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}` + "\n" +
			`{"id":"n","type":"info","content":"a line for the user"}` + "\n", nil,
			[]string{`user {"functionResponse":{"id":"1","name":"f","response":{"output":"one"}}}`, `user {"inlineData":{"mimeType":"image/png","data":"AAAA"}}`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var record strings.Builder
			for _, r := range tt.responses {
				record.WriteString(`{"method":"generateContentStream","response":[{"candidates":[{"content":` + r + `}]}]}` + "\n")
			}
			responses, err := Record([]byte(record.String()))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Said([]byte(tt.session), responses)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, said(t, got)); diff != "" {
				t.Errorf("said (-want +got):\n%s", diff)
			}
		})
	}
	for _, broken := range []string{`{"id":`, `{"id":"x","type":"user","content":[1]}`} {
		if _, err := Said([]byte(broken), nil); err == nil {
			t.Errorf("%s passed", broken)
		}
	}
}

func TestText(t *testing.T) {
	contents := []Content{Spoken("a"), {Role: "user", Parts: []Part{text("no")}}, {Role: "model", Parts: []Part{text("b"), {FunctionCall: &FunctionCall{}}}}}
	if got := Text(contents); got != "ab" {
		t.Errorf("text = %q", got)
	}
}
