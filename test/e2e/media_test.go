//go:build unix

package e2e

import (
	"bytes"
	"encoding/base64"
	stdimage "image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"net/http"
	"strings"
	"testing"
)

// image is a small real image of a type.
func image(media string) part { return sized(media, 8, 8) }

func sized(media string, width, height int) part {
	img := stdimage.NewRGBA(stdimage.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7)
	}
	var b bytes.Buffer
	switch media {
	case "image/png":
		_ = png.Encode(&b, img) // a buffer takes everything
	case "image/jpeg":
		_ = jpeg.Encode(&b, img, nil)
	case "image/gif":
		_ = gif.Encode(&b, img, nil)
	}
	return part{Kind: "image", Media: media, Data: base64.StdEncoding.EncodeToString(b.Bytes())}
}

// document is a small real PDF.
func document() part {
	const pdf = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
		"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
	return part{Kind: "document", Media: "application/pdf", Data: base64.StdEncoding.EncodeToString([]byte(pdf))}
}

// mediaOf are media that a backend declares and its CLI leaves as they are, one that it
// does not declare, and what the refusal of that has to tell.
var mediaOf = map[string]struct {
	readable   []part
	unreadable part
	plea       string
}{
	"claude": {[]part{image("image/jpeg"), image("image/gif"), document()}, part{Kind: "image", Media: "image/bmp", Data: "Qk0="}, "image/png, image/jpeg"},
	"codex":  {[]part{image("image/jpeg")}, document(), "image/png, image/jpeg"},
	"gemini": {[]part{image("image/jpeg"), document()}, image("image/gif"), "image/png, image/jpeg"},
}

// TestMediaReachesTheUpstream: images and documents keep their type and their bytes,
// in the message to answer and in earlier ones.
func TestMediaReachesTheUpstream(t *testing.T) {
	t.Parallel()
	eachContent(t, func(t *testing.T, backend string, d dialect, stream bool) {
		n := nonce()
		last := append([]part{text("and these")}, mediaOf[backend].readable...)
		a := ask{model: backend, stream: stream, turns: []turn{
			user(text("what is this"), image("image/png")), assistant(text("a square")), user(append(last, text(n))...),
		}}
		r := get(t, d, a)
		checkEnd(t, d, r, "stop")
		checkSent(t, backend, readSent(t, backend, shared.upstream(backend).only(t, n)), a)
	})
}

// TestImagesThatTheCLIChanges: what the CLIs do to images on their own account is told
// in the page on backends; this notices when it is no longer so.
func TestImagesThatTheCLIChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, backend string
		sent          part
		media         string
		widest        int
	}{
		{"codex shrinks", "codex", sized("image/png", 6400, 4), "image/png", 6000},
		{"codex makes a PNG of a GIF", "codex", sized("image/gif", 8, 8), "image/png", 8},
		{"claude shrinks", "claude", sized("image/jpeg", 2400, 4), "image/jpeg", 2000},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := nonce()
			get(t, openaiChat, ask{model: test.backend, turns: []turn{user(text(n), test.sent)}})
			for _, p := range readSent(t, test.backend, shared.upstream(test.backend).only(t, n)).turns[0].Parts {
				if p.Kind != "image" {
					continue
				}
				raw, err := base64.StdEncoding.DecodeString(p.Data)
				if err != nil {
					t.Fatal(err)
				}
				config, _, err := stdimage.DecodeConfig(bytes.NewReader(raw))
				if err != nil || p.Media != test.media || config.Width > test.widest {
					t.Errorf("%s, %d wide (%v); want %s, at most %d wide", p.Media, config.Width, err, test.media, test.widest)
				}
				return
			}
			t.Error("no image went upstream")
		})
	}
}

// TestMediaThatIsRefused: what a backend cannot read, what is too large, and what would
// have to be fetched are errors that say what to do, and nothing is sent.
func TestMediaThatIsRefused(t *testing.T) {
	t.Parallel()
	large := image("image/png")
	large.Data = base64.StdEncoding.EncodeToString(make([]byte, 33<<20))
	remote := part{Kind: "image", Media: "image/png", Data: "http://127.0.0.1:1/x.png"}
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			media := mediaOf[backend]
			for i, d := range contentDialects() {
				for name, test := range map[string]struct {
					part     part
					statuses []int
					says     string
				}{
					"type":   {media.unreadable, []int{http.StatusBadRequest}, media.plea},
					"size":   {large, []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge}, "bytes"},
					"remote": {remote, []int{http.StatusBadRequest}, "base64"},
				} {
					t.Run(d.name+"/"+name, func(t *testing.T) {
						n := nonce()
						r, err := d.do(t.Context(), shared.server.URL, ask{
							model: backend, stream: i%2 == 0, turns: []turn{user(text(n), test.part)},
						})
						if err != nil {
							t.Fatal(err)
						}
						checkError(t, d, r, test.statuses)
						if !strings.Contains(r.err.message, test.says) {
							t.Errorf("the message does not say %q: %s", test.says, r.err.message)
						}
						if calls := shared.upstream(backend).find(n); len(calls) > 0 {
							t.Errorf("refused after %d model calls", len(calls))
						}
					})
				}
			}
		})
	}
}
