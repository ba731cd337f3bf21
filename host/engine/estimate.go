package engine

import (
	"bytes"
	"context"
	"image"
	_ "image/gif" // so that their size can be read
	_ "image/jpeg"
	_ "image/png"
	"regexp"
	"strings"

	"github.com/clinvk/clinvk/host/tokens"
)

// What an estimate takes for the parts of a turn that are no text.
const (
	// messageTokens and toolTokens go around each message and tool: names of roles,
	// marks of beginning and end. They are 3 to 8 in what providers publish.
	messageTokens = 4
	toolTokens    = 8

	// An image is width × height / 750 tokens, and is made smaller first if it is
	// larger than 1568 pixels or about 1.15 megapixels: docs.claude.com, "Vision",
	// "Calculate image costs". One that cannot be measured counts as the largest.
	pixelsPerToken = 750
	maxImageSide   = 1568
	maxImageTokens = 1600

	// A page of a PDF is read as its text, 1500 to 3000 tokens, and as an image:
	// docs.claude.com, "PDF support", "Estimate your costs".
	pageTokens = 2250 + maxImageTokens
	// bytesPerPage is for a PDF whose pages cannot be told apart, because they are
	// listed in a compressed stream.
	bytesPerPage = 64 << 10

	// bytesPerBlobToken is for what has no rule, such as sound: 32 tokens a second at
	// 128 kbit/s, after ai.google.dev, "Understand and count tokens".
	bytesPerBlobToken = 500
)

// maxCountedText is how much text of one turn is counted, in bytes; the rest is taken
// to be like it. It bounds the time: a megabyte takes about 150 ms.
const maxCountedText = 1 << 20

// estimate is about how many tokens a turn has. It fails when ctx ends.
func estimate(ctx context.Context, t *Turn) (int64, error) {
	c := counter{ctx: ctx, limit: maxCountedText}
	c.turn(t)
	return c.total(), ctx.Err()
}

func (c *counter) turn(t *Turn) {
	c.text(t.System)
	c.text(string(t.OutputSchema))
	for _, tool := range t.Tools {
		c.fixed += toolTokens
		c.text(tool.Name)
		c.text(tool.Description)
		c.text(string(tool.InputSchema))
	}
	latest := latestQuestion(t.Messages)
	for i, m := range t.Messages {
		c.fixed += messageTokens
		c.parts(m.Parts, i > latest)
	}
}

// latestQuestion finds the last message that is more than results of calls. Reasoning
// before it is not read again by the model.
func latestQuestion(messages []Message) int {
	for i := len(messages) - 1; i >= 0; i-- {
		for _, p := range messages[i].Parts {
			if _, result := p.(ToolResult); messages[i].Role == RoleUser && !result {
				return i
			}
		}
	}
	return -1
}

// counter adds up a turn.
type counter struct {
	ctx            context.Context //nolint:containedctx // the life of one count
	limit          int64           // bytes of text that are counted
	fixed          int64           // tokens of what is no text
	counted, bytes int64           // tokens of the first bytes of text
	rest           int64           // bytes of text that were not counted
}

func (c *counter) text(s string) {
	for s != "" && c.bytes < c.limit && c.ctx.Err() == nil {
		var first string
		first, s = piece(s)
		c.bytes += int64(len(first))
		c.counted += int64(tokens.Count(first))
	}
	c.rest += int64(len(s))
}

func (c *counter) total() int64 {
	n := c.fixed + c.counted
	if c.rest > 0 {
		n += int64(float64(c.rest) * float64(c.counted) / float64(max(1, c.bytes)))
	}
	return n
}

// parts adds up content; reasoning says whether blocks of it count.
func (c *counter) parts(parts []Part, reasoning bool) {
	for _, p := range parts {
		switch v := p.(type) {
		case Text:
			c.text(string(v))
		case Blob:
			c.blob(v)
		case ToolCall:
			c.text(v.Name)
			c.text(v.Arguments)
		case ToolResult:
			c.parts(v.Parts, reasoning)
		case Reasoning:
			if reasoning {
				c.text(v.Text)
			}
		}
	}
}

func (c *counter) blob(b Blob) {
	switch {
	case strings.HasPrefix(b.MediaType, "image/"):
		c.fixed += imageTokens(b.Data)
	case b.MediaType == "application/pdf":
		c.fixed += pages(b.Data) * pageTokens
	case strings.HasPrefix(b.MediaType, "text/"):
		c.text(string(b.Data))
	default:
		c.fixed += int64(len(b.Data)/bytesPerBlobToken) + 1
	}
}

// imageTokens reads an image's size from its header; the pixels are not decoded.
func imageTokens(data []byte) int64 {
	size, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || size.Width <= 0 || size.Height <= 0 {
		return maxImageTokens
	}
	w, h := float64(size.Width), float64(size.Height)
	if longest := max(w, h); longest > maxImageSide {
		w, h = w*maxImageSide/longest, h*maxImageSide/longest
	}
	return max(1, min(int64(w*h/pixelsPerToken), maxImageTokens))
}

// page is the object of a page; that of their tree has the type Pages.
var page = regexp.MustCompile(`/Type\s*/Page\b`)

// pages is about how many pages a PDF has; at least one.
func pages(data []byte) int64 {
	if n := len(page.FindAllIndex(data, -1)); n > 0 {
		return int64(n)
	}
	return int64(len(data)/bytesPerPage) + 1
}
