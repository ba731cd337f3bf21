package media

import (
	"context"

	"github.com/clinvk/clinvk/host/engine"
)

// Files are the linked files of one request, which may have several turns: a link that
// more than one of them has is fetched once. It is for one goroutine.
type Files struct {
	fetcher *Fetcher
	known   map[source]engine.Blob
}

// source is what a link was asked for.
type source struct{ url, mediaType string }

// Files begins a request.
func (f *Fetcher) Files() *Files { return &Files{fetcher: f, known: map[source]engine.Blob{}} }

// Complete is Fetcher.Complete for one of the turns.
func (f *Files) Complete(ctx context.Context, t *engine.Turn) error {
	var links []link
	for _, m := range t.Messages {
		links = collect(links, m.Parts)
	}
	var left []link
	var bytes int64
	for i, l := range links {
		if err := f.fetcher.check(i, l.Blob); err != nil {
			return err
		}
		b, ok := f.known[source{l.URL, l.MediaType}]
		if !ok {
			left = append(left, l)
			continue
		}
		if bytes += int64(len(b.Data)); bytes > f.fetcher.total {
			return f.fetcher.tooMuch(l.Blob)
		}
		*l.place = engine.Blob{MediaType: b.MediaType, Data: b.Data, Name: l.Name}
	}
	if len(left) == 0 {
		return nil
	}
	if err := f.fetcher.complete(ctx, left, bytes); err != nil {
		return err
	}
	for _, l := range left {
		f.known[source{l.URL, l.MediaType}] = (*l.place).(engine.Blob) //nolint:forcetypeassert // complete has put it there
	}
	return nil
}
