package openai

import (
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/media"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// partDecoder reads one part of an array of content; a nil Part is left out.
type partDecoder func(kind string, o wire.Object) (engine.Part, error)

// decodeContent reads a string or an array of parts. Empty texts are left out, unless
// nothing else is there.
func decodeContent(v wire.Value, decode partDecoder) ([]engine.Part, error) {
	if v.IsString() {
		s, err := v.String()
		return []engine.Part{engine.Text(s)}, err
	}
	if !v.IsArray() {
		_, err := v.String()
		if !v.IsNull() {
			err = v.Errorf("must be a string or an array of parts")
		}
		return nil, err
	}
	var parts []engine.Part
	n := 0
	for _, e := range v.Elements() {
		n++
		o, err := e.Object()
		if err != nil {
			return nil, err
		}
		kind, err := o.Get("type").String()
		if err != nil {
			return nil, err
		}
		part, err := decode(kind, o)
		if err != nil {
			return nil, err
		}
		if part != nil && part != engine.Text("") {
			parts = append(parts, part)
		}
	}
	if n == 0 {
		return nil, v.Errorf("must not be an empty array")
	}
	if len(parts) == 0 {
		parts = []engine.Part{engine.Text("")}
	}
	return parts, nil
}

func textPart(kind string, o wire.Object) (engine.Part, error) {
	if kind != "text" {
		return nil, o.Get("type").Unknown("text")
	}
	s, err := o.Get("text").String()
	return engine.Text(s), err
}

// textOf reads content that is text only; its parts are joined.
func textOf(v wire.Value) (string, error) {
	parts, err := decodeContent(v, textPart)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range parts {
		if t, ok := p.(engine.Text); ok {
			b.WriteString(string(t))
		}
	}
	return b.String(), nil
}

func userParts(v wire.Value) ([]engine.Part, error) { return decodeContent(v, userPart) }

func userPart(kind string, o wire.Object) (engine.Part, error) {
	switch kind {
	case "text":
		return textPart(kind, o)
	case "image_url":
		return imagePart(o.Get("image_url"))
	case "file":
		return filePart(o.Get("file"))
	case "input_audio":
		return audioPart(o.Get("input_audio"))
	}
	return nil, o.Get("type").Unknown("text", "image_url", "file", "input_audio")
}

// imagePart takes {"url": "…"}, and the bare string that some clients send.
func imagePart(v wire.Value) (engine.Part, error) {
	url := v
	if !v.IsString() {
		o, err := v.Object()
		if err != nil {
			return nil, err
		}
		url = o.Get("url")
	}
	return media.Image(url)
}

func filePart(v wire.Value) (engine.Part, error) {
	o, err := v.Object()
	if err != nil {
		return nil, err
	}
	if id := o.Get("file_id"); !id.IsNull() {
		return nil, id.Errorf("is not supported; send the file in file_data")
	}
	name, err := o.Get("filename").OptionalString()
	if err != nil {
		return nil, err
	}
	mediaType, data, err := o.Get("file_data").DataURL()
	if err != nil {
		return nil, err
	}
	b, err := media.Inline(o.Get("file_data"), mediaType, data)
	b.Name = name
	return b, err
}

func audioPart(v wire.Value) (engine.Part, error) {
	o, err := v.Object()
	if err != nil {
		return nil, err
	}
	format, err := o.Get("format").String()
	if err != nil {
		return nil, err
	}
	mediaType, ok := map[string]string{"wav": "audio/wav", "mp3": "audio/mpeg"}[format]
	if !ok {
		return nil, o.Get("format").Unknown("wav", "mp3")
	}
	data, err := o.Get("data").Base64()
	return engine.Blob{MediaType: mediaType, Data: data}, err
}

// assistantParts reads the text of an earlier answer, which may be absent.
func assistantParts(o wire.Object) ([]engine.Part, error) {
	content := o.Get("content")
	if content.IsNull() || content.IsArray() && content.Length() == 0 {
		refusal, err := o.Get("refusal").OptionalString()
		if err != nil || refusal == "" {
			return nil, err
		}
		return []engine.Part{engine.Text(refusal)}, nil
	}
	parts, err := decodeContent(content, func(kind string, o wire.Object) (engine.Part, error) {
		switch kind {
		case "text":
			return textPart(kind, o)
		case "refusal":
			s, err := o.Get("refusal").String()
			return engine.Text(s), err
		}
		return nil, o.Get("type").Unknown("text", "refusal")
	})
	if len(parts) == 1 && parts[0] == engine.Text("") {
		parts = nil
	}
	return parts, err
}

// resultParts reads the result of a call: text, and images where clients send them.
func resultParts(v wire.Value) ([]engine.Part, error) {
	if v.IsNull() {
		return nil, nil
	}
	return decodeContent(v, func(kind string, o wire.Object) (engine.Part, error) {
		switch kind {
		case "text":
			return textPart(kind, o)
		case "image_url":
			return imagePart(o.Get("image_url"))
		}
		return nil, o.Get("type").Unknown("text", "image_url")
	})
}
