package responses

import (
	"encoding/base64"
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/media"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

func textPart(kind string, o wire.Object) (engine.Part, error) {
	switch kind {
	case "input_text", "output_text", "text":
		s, err := o.Get("text").String()
		return engine.Text(s), err
	}
	return nil, o.Get("type").Unknown("input_text", "output_text")
}

func assistantPart(kind string, o wire.Object) (engine.Part, error) {
	if kind == "refusal" {
		s, err := o.Get("refusal").String()
		return engine.Text(s), err
	}
	return textPart(kind, o)
}

func userPart(kind string, o wire.Object) (engine.Part, error) {
	switch kind {
	case "input_text", "output_text", "text":
		return textPart(kind, o)
	case "input_image":
		return imagePart(o)
	case "input_file":
		return filePart(o)
	}
	return nil, o.Get("type").Unknown("input_text", "input_image", "input_file")
}

func imagePart(o wire.Object) (engine.Part, error) {
	if id := o.Get("file_id"); !id.IsNull() {
		return nil, id.Errorf("is not supported; send the image in image_url")
	}
	return media.Image(o.Get("image_url"))
}

func filePart(o wire.Object) (engine.Part, error) {
	if v := o.Get("file_id"); !v.IsNull() {
		return nil, v.Errorf("is not supported; send the file in file_data")
	}
	name, err := o.Get("filename").OptionalString()
	if err != nil {
		return nil, err
	}
	file := o.Get("file_data")
	if v := o.Get("file_url"); !v.IsNull() {
		file = v
	}
	b, err := media.Document(file)
	b.Name = name
	return b, err
}

// Marks of encrypted_content that comes from here.
const (
	sealedPlain    = "clinvk.1."
	sealedRedacted = "clinvk.1r."
)

// seal makes encrypted_content of a signature.
func seal(signature []byte, redacted bool) string {
	mark := sealedPlain
	if redacted {
		mark = sealedRedacted
	}
	return mark + base64.StdEncoding.EncodeToString(signature)
}

// unseal undoes seal; anything else is not ok.
func unseal(s string) (signature []byte, redacted, ok bool) {
	encoded, redacted := strings.CutPrefix(s, sealedRedacted)
	if !redacted {
		if encoded, ok = strings.CutPrefix(s, sealedPlain); !ok {
			return nil, false, false
		}
	}
	signature, err := base64.StdEncoding.DecodeString(encoded)
	return signature, redacted, err == nil && len(signature) > 0
}
