package fakeapi

import "testing"

func TestParseScript(t *testing.T) {
	s, err := ParseScript("hello [[tokens=2 gap=20ms tool=get_weather args=b64:eyJhIjoxfQ==]]")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Answer(); got != "tok0 tok1 " {
		t.Errorf("answer = %q", got)
	}
	if len(s.Tools) != 1 || s.Tools[0] != (ToolCall{"get_weather", `{"a":1}`}) {
		t.Errorf("tools = %v", s.Tools)
	}
	if _, err := ParseScript("[[tokns=2]]"); err == nil {
		t.Error("a typing error passed")
	}
	s, _ = ParseScript("[[text=b64:w6nigI3inJM= thought=b64:4pyT4pyT split]]")
	if len(s.Deltas()) != 3 || s.Answer() != "é\u200d✓" || len(s.Thoughts()) != 2 {
		t.Errorf("split = %q, %q", s.Deltas(), s.Thoughts())
	}
	s, _ = ParseScript("[[think=2]]")
	if got := s.Thoughts(); len(got) != 2 || got[1] != "thought1 " {
		t.Errorf("thoughts = %q", got)
	}
	s, _ = ParseScript("[[thought=b64:4pyT]]")
	if got := s.Thoughts(); len(got) != 1 || got[0] != "✓" {
		t.Errorf("thought = %q", got)
	}
}
