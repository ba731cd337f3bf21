package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/fakeapi/anthropic"
)

// medium is a small file of each type that is declared.
type medium struct {
	mediaType string
	data      []byte
}

func media(tb testing.TB) []medium {
	picture := image.NewPaletted(image.Rect(0, 0, 3, 2), []color.Color{color.Black, color.White})
	var p, j, g bytes.Buffer
	for _, err := range []error{png.Encode(&p, picture), jpeg.Encode(&j, picture, nil), gif.Encode(&g, picture, nil)} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	webp, err := base64.StdEncoding.DecodeString("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
	if err != nil {
		tb.Fatal(err)
	}
	pdf := "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj " +
		"3 0 obj<</Type/Page/MediaBox[0 0 9 9]/Parent 2 0 R>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n\xff\x00"
	return []medium{
		{"image/png", p.Bytes()}, {"image/jpeg", j.Bytes()}, {"image/gif", g.Bytes()}, {"image/webp", webp},
		{"application/pdf", []byte(pdf)},
	}
}

func (m medium) part() *backendv1.Part {
	return &backendv1.Part{Content: &backendv1.Part_Blob{Blob: &backendv1.Blob{MediaType: m.mediaType, Source: &backendv1.Blob_Data{Data: m.data}}}}
}

func (m medium) String() string { return fmt.Sprintf("%s %x", m.mediaType, m.data) }

func TestAllMediaAreDeclared(t *testing.T) {
	var got []string
	for _, m := range media(t) {
		got = append(got, m.mediaType)
	}
	if diff := cmp.Diff((&backend{}).InputMediaTypes(), got); diff != "" {
		t.Errorf("declared and tested differ (-declared +tested):\n%s", diff)
	}
}

// TestMedia gives each medium in the message to answer, then as history while the
// conversation goes on, and at last all of it at once to a new process.
func TestMedia(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		start := chat()
		var token []byte
		var want []string
		for i, m := range media(t) {
			// In the midst of text, before it and after it.
			before, after := fmt.Sprintf("before %d", i), fmt.Sprintf("after %d", i)
			message := user(before)
			message.Parts = append(message.Parts, m.part(), user(after).GetParts()[0])
			start.Messages = append(start.Messages, message)
			want = append(want, "user "+before, "user "+m.String(), "user "+after)
			start.Live = &backendv1.Live{Token: token, MessagesHeld: uint32(len(start.Messages) - 1)}
			r := f.complete(start)
			if i > 0 && !r.Started.GetLive() {
				t.Error("the conversation was not continued")
			}
			checkMedia(t, f, want)
			token = r.Completed.GetLiveToken()
			start.Messages = append(start.Messages, assistant(r.Text))
			want = append(want, "assistant "+r.Text)
		}
		start.Live = nil
		start.Messages = append(start.Messages, user("end"))
		f.complete(start)
		checkMedia(t, f, append(want, "user end"))
	})
}

// TestMediaOfTools: results may hold images and documents beside text.
func TestMediaOfTools(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		start := chat(user("look"))
		want := []string{"user look"}
		for i, m := range media(t) {
			id := fmt.Sprintf("toolu_%d", i)
			call := &backendv1.ToolCall{Id: id, Name: "look", ArgumentsJson: "{}", Origin: backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT}
			result := &backendv1.ToolResult{CallId: id, Parts: []*backendv1.Part{user("seen").GetParts()[0], m.part()}, IsError: i == 1}
			start.Messages = append(start.Messages,
				&backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT, Parts: []*backendv1.Part{{Content: &backendv1.Part_ToolCall{ToolCall: call}}}},
				&backendv1.Message{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{{Content: &backendv1.Part_ToolResult{ToolResult: result}}}})
			// In a failed one the API takes only text: the picture comes behind it.
			want = append(want, "assistant tool_use", fmt.Sprintf("user result %s error %v", id, i == 1), "user seen", "user "+m.String())
		}
		start.Tools = []*backendv1.ToolSpec{{Name: "look"}}
		f.complete(start)
		checkMedia(t, f, want)
	})
}

func checkMedia(t *testing.T, f *fixture, want []string) {
	t.Helper()
	_, messages := f.received()
	var got []string
	for _, m := range messages {
		for _, p := range m.Parts {
			got = append(got, seen(t, m.Role, p)...)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("conversation (-want +got):\n%s", diff)
	}
}

// seen is one line for a piece that reached the API, and for each inside it.
func seen(t *testing.T, role string, p anthropic.Part) []string {
	t.Helper()
	switch p.Kind {
	case "text":
		return []string{role + " " + p.Text}
	case "image", "document":
		data, err := base64.StdEncoding.DecodeString(p.Text)
		if err != nil {
			t.Fatal(err)
		}
		if document := p.Kind == "document"; document != (p.Name == "application/pdf") {
			t.Errorf("%s as %s", p.Name, p.Kind)
		}
		return []string{role + " " + medium{p.Name, data}.String()}
	case "tool_result":
		out := []string{fmt.Sprintf("%s result %s error %v", role, p.ID, p.IsError)}
		for _, c := range p.Content {
			out = append(out, seen(t, role, c)...)
		}
		return out
	}
	return []string{role + " " + p.Kind}
}
