package media

import (
	"net/url"
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// AnyImage is the type of an image that is not fetched yet.
const AnyImage = "image/"

// Image reads the URL of an image: a data: URL, or one of HTTP that Complete fetches.
// The error is a *wire.Error about v.
func Image(v wire.Value) (engine.Blob, error) { return read(v, AnyImage, "an image") }

// Document reads the URL of a PDF as Image does that of an image.
func Document(v wire.Value) (engine.Blob, error) { return read(v, typePDF, typePDF) }

func read(v wire.Value, want, name string) (engine.Blob, error) {
	s, err := v.NonEmpty()
	if err != nil {
		return engine.Blob{}, err
	}
	if Remote(s) {
		return engine.Blob{URL: s, Field: v.Path(), MediaType: want}, nil
	}
	if len(s) < 5 || !strings.EqualFold(s[:5], "data:") {
		return engine.Blob{}, v.Errorf("must be a data: URL with the content in base64, or an http: or https: URL")
	}
	mediaType, data, err := v.DataURL()
	if err != nil {
		return engine.Blob{}, err
	}
	if !fits(normal(mediaType), want) {
		return engine.Blob{}, v.Errorf("must be %s, not %s", name, mediaType)
	}
	return Inline(v, mediaType, data)
}

// Remote says that s is a URL of HTTP, which a file would have to be fetched from.
func Remote(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https")
}
