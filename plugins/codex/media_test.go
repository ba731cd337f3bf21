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
	"github.com/clinvk/clinvk/test/fakeapi/openai"
)

// medium is a file.
type medium struct {
	mediaType string
	data      []byte
}

// media are small and large files of each type that the CLI passes on unchanged.
func media(tb testing.TB) []medium {
	var out []medium
	for _, size := range []int{3, 3000} {
		picture := image.NewPaletted(image.Rect(0, 0, size, size), []color.Color{color.Black, color.White})
		var p, j bytes.Buffer
		for _, err := range []error{png.Encode(&p, picture), jpeg.Encode(&j, picture, nil)} {
			if err != nil {
				tb.Fatal(err)
			}
		}
		out = append(out, medium{"image/png", p.Bytes()}, medium{"image/jpeg", j.Bytes()})
	}
	webp, err := base64.StdEncoding.DecodeString("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
	if err != nil {
		tb.Fatal(err)
	}
	return append(out, medium{"image/webp", webp})
}

func (m medium) part() *backendv1.Part {
	return &backendv1.Part{Content: &backendv1.Part_Blob{Blob: &backendv1.Blob{MediaType: m.mediaType, Source: &backendv1.Blob_Data{Data: m.data}}}}
}

func (m medium) String() string {
	return fmt.Sprintf("%s %d bytes %.40x", m.mediaType, len(m.data), m.data)
}

// TestMedia gives each picture in a message and in a tool's result, in a conversation
// that goes on, and at last all of them at once to a new thread.
func TestMedia(t *testing.T) {
	f := start(t)
	s := &backendv1.Start{Live: &backendv1.Live{}}
	var want []string
	for i, m := range media(t) {
		id := fmt.Sprintf("call_%d", i)
		asked := user("before")
		asked.Parts = append(asked.Parts, m.part(), user("after").GetParts()[0])
		call := &backendv1.ToolCall{Id: id, Name: "look", ArgumentsJson: "{}", Origin: backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT}
		result := &backendv1.ToolResult{CallId: id, Parts: []*backendv1.Part{user("seen").GetParts()[0], m.part()}}
		s.Messages = append(s.Messages, asked,
			&backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT, Parts: []*backendv1.Part{{Content: &backendv1.Part_ToolCall{ToolCall: call}}}},
			&backendv1.Message{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{{Content: &backendv1.Part_ToolResult{ToolResult: result}}}})
		want = append(want, "user before", "user "+m.String(), "user after", "assistant tool_use "+id, "tool result "+id, "tool seen", "tool "+m.String())
		r := f.run(t, s)
		if r.Failed != nil {
			t.Fatal(r.Failed)
		}
		if i > 0 && !r.Started.GetLive() {
			t.Error("the conversation was not continued")
		}
		checkMedia(t, f, want)
		s.Messages = append(s.Messages, assistant(r.Text))
		want = append(want, "assistant "+r.Text)
		s.Live = &backendv1.Live{Token: r.Completed.GetLiveToken(), MessagesHeld: uint32(len(s.Messages))}
	}
	s.Live = nil
	s.Messages = append(s.Messages, user("end"))
	f.run(t, s)
	checkMedia(t, f, append(want, "user end"))
}

// TestGIFBecomesPNG: the CLI takes a GIF, and the model sees the same picture.
func TestGIFBecomesPNG(t *testing.T) {
	f := start(t)
	picture := image.NewPaletted(image.Rect(0, 0, 5, 7), []color.Color{color.Black, color.White})
	picture.SetColorIndex(3, 4, 1)
	var g bytes.Buffer
	if err := gif.Encode(&g, picture, nil); err != nil {
		t.Fatal(err)
	}
	m := user("look")
	m.Parts = append(m.Parts, medium{"image/gif", g.Bytes()}.part())
	if r := f.run(t, &backendv1.Start{Messages: []*backendv1.Message{m}}); r.Failed != nil {
		t.Fatal(r.Failed)
	}
	_, messages := openai.Conversation(f.api.Log.Turns()[0])
	for _, p := range messages[len(messages)-1].Parts {
		if p.Kind != "image" {
			continue
		}
		data, err := base64.StdEncoding.DecodeString(p.Text)
		if err != nil {
			t.Fatal(err)
		}
		got, kind, err := image.Decode(bytes.NewReader(data))
		if err != nil || kind != "png" || p.Name != "image/png" || got.Bounds() != picture.Bounds() {
			t.Fatalf("%s %s %v", p.Name, kind, err)
		}
		if r, _, _, _ := got.At(3, 4).RGBA(); r != 0xffff {
			t.Errorf("the white point is %v", got.At(3, 4))
		}
		return
	}
	t.Error("no picture came")
}

func checkMedia(t *testing.T, f *fixture, want []string) {
	t.Helper()
	turns := f.api.Log.Turns()
	_, messages := openai.Conversation(turns[len(turns)-1])
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
func seen(t *testing.T, role string, p openai.Part) []string {
	t.Helper()
	switch p.Kind {
	case "text":
		return []string{role + " " + p.Text}
	case "image":
		data, err := base64.StdEncoding.DecodeString(p.Text)
		if err != nil {
			t.Fatal(err)
		}
		return []string{role + " " + medium{p.Name, data}.String()}
	case "tool_result":
		out := []string{role + " result " + p.ID}
		for _, c := range p.Content {
			out = append(out, seen(t, role, c)...)
		}
		return out
	}
	return []string{role + " " + p.Kind + " " + p.ID}
}
