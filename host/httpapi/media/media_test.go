package media

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Beginnings of files of each kind.
const (
	png  = "\x89PNG\r\n\x1a\n0000"
	jpeg = "\xff\xd8\xff\xe0000"
	gif  = "GIF89a000"
	webp = "RIFF0000WEBPVP8 "
	pdf  = "%PDF-1.7\n"
)

func TestKindOf(t *testing.T) {
	for data, want := range map[string]string{
		png: typePNG, jpeg: typeJPEG, gif: typeGIF, "GIF87a": typeGIF, webp: typeWebP, pdf: typePDF, "\ufeff\n" + pdf: typePDF,
		"": "", "hi": "", "RIFF0000WAVE": "", "RIFF": "", "<svg/>": "", strings.Repeat("x", pdfSearch) + pdf: "",
	} {
		if got := kindOf([]byte(data)); got != want {
			t.Errorf("%q is %q, want %q", data, got, want)
		}
	}
}

// field is a member of a body, as decoders see it.
func field(t *testing.T, text string) wire.Value {
	t.Helper()
	root, err := wire.Parse(append(wire.AppendString([]byte(`{"url":`), text), '}'))
	if err != nil {
		t.Fatal(err)
	}
	o, err := root.Object()
	if err != nil {
		t.Fatal(err)
	}
	return o.Get("url")
}

func TestInline(t *testing.T) {
	for name, tt := range map[string]struct{ declared, data, want, problem string }{
		"png":        {"image/png", png, "image/png", ""},
		"old name":   {"image/jpg", jpeg, "image/jpeg", ""},
		"case":       {"Image/PNG", png, "image/png", ""},
		"pdf":        {"application/pdf", pdf, "application/pdf", ""},
		"unknown":    {"audio/wav", "RIFF", "audio/wav", ""},
		"other kind": {"image/png", jpeg, "image/jpeg", ""},
		"old alias":  {"image/pjpeg", jpeg, "image/jpeg", ""},
		"an unknown": {"image/bmp", gif, "image/gif", ""},
		"untold":     {"image/bmp", "BM", "image/bmp", ""},
		"pdf, image": {"application/pdf", png, "", "is said to be application/pdf, but its content is image/png"},
		"image, pdf": {"image/png", pdf, "", "is said to be image/png, but its content is application/pdf"},
		"bmp, pdf":   {"image/bmp", pdf, "", "is said to be image/bmp, but its content is application/pdf"},
		"no kind":    {"image/webp", "hi", "", "is said to be image/webp, but its content is something else"},
		"no pdf":     {"application/pdf", "<html>", "", "is said to be application/pdf"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Inline(field(t, ""), tt.declared, []byte(tt.data))
			if tt.problem != "" {
				wantProblem(t, err, "url", tt.problem)
				return
			}
			if diff := cmp.Diff(engine.Blob{MediaType: tt.want, Data: []byte(tt.data)}, b); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func wantProblem(t *testing.T, err error, path, problem string) {
	t.Helper()
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || e.Path != path || !strings.Contains(e.Problem, problem) {
		t.Errorf("got %v, want %s %s", err, path, problem)
	}
}

func TestLinks(t *testing.T) {
	data := func(mediaType, content string) string {
		return "data:" + mediaType + ";base64," + base64.StdEncoding.EncodeToString([]byte(content))
	}
	for name, tt := range map[string]struct {
		read    func(wire.Value) (engine.Blob, error)
		url     string
		want    engine.Blob
		problem string
	}{
		"inline image":     {Image, data("image/gif", gif), engine.Blob{MediaType: "image/gif", Data: []byte(gif)}, ""},
		"old name":         {Image, data("image/jpg", jpeg), engine.Blob{MediaType: "image/jpeg", Data: []byte(jpeg)}, ""},
		"remote image":     {Image, "https://example.com/a.png", engine.Blob{MediaType: "image/", URL: "https://example.com/a.png", Field: "url"}, ""},
		"case":             {Image, "HTTP://example.com/a", engine.Blob{MediaType: "image/", URL: "HTTP://example.com/a", Field: "url"}, ""},
		"remote document":  {Document, "https://example.com/a", engine.Blob{MediaType: "application/pdf", URL: "https://example.com/a", Field: "url"}, ""},
		"inline document":  {Document, data("application/pdf", pdf), engine.Blob{MediaType: "application/pdf", Data: []byte(pdf)}, ""},
		"no image":         {Image, data("text/html", "hi"), engine.Blob{}, "must be an image, not text/html"},
		"no document":      {Document, data("image/png", png), engine.Blob{}, "must be application/pdf, not image/png"},
		"another image":    {Image, data("image/png", gif), engine.Blob{MediaType: "image/gif", Data: []byte(gif)}, ""},
		"not what it says": {Image, data("image/png", pdf), engine.Blob{}, "but its content is application/pdf"},
		"other scheme":     {Image, "file:///etc/passwd", engine.Blob{}, "must be a data: URL"},
		"no URL":           {Image, "a.png", engine.Blob{}, "must be a data: URL"},
		"empty":            {Image, "", engine.Blob{}, "must not be empty"},
		"no content":       {Image, "data:image/png;base64,", engine.Blob{}, "not valid base64"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := tt.read(field(t, tt.url))
			if tt.problem != "" {
				wantProblem(t, err, "url", tt.problem)
				return
			}
			if diff := cmp.Diff(tt.want, b); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}
