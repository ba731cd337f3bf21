package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// Config of a Fetcher.
type Config struct {
	// Hosts that may be fetched from (server.fetch_remote_media): names or addresses,
	// with or without a port; empty: none.
	Hosts []string
	// Timeout of all files of a turn together; 0: 10 s.
	Timeout time.Duration
	// MaxBytes of a file; 0: 20 MiB, which is more than any provider takes.
	MaxBytes int64
	// Resolver of names; nil: the system's.
	Resolver Resolver
}

// Bounds of what one turn may make the server do.
const (
	defaultTimeout  = 10 * time.Second
	defaultMaxBytes = 20 << 20
	maxFiles        = 32
	maxAtOnce       = 4
	maxRedirects    = 3
	// maxTotal is the size of all fetched files of a turn, in bytes: a plugin takes 64
	// MiB with one message.
	maxTotal = 48 << 20
	// maxServer is the size of what is being fetched for all turns, in bytes.
	maxServer = 256 << 20
	// maxHeader of an answer, in bytes.
	maxHeader = 64 << 10
)

// Fetcher fetches linked files. Its methods may be called concurrently; a nil Fetcher
// fetches nothing.
type Fetcher struct {
	config Config
	hosts  hosts
	client *http.Client
	total  int64 // bytes of a turn
	server *budget
}

// New makes a Fetcher.
func New(c Config) *Fetcher {
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.MaxBytes = cmp.Or(c.MaxBytes, defaultMaxBytes)
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	f := &Fetcher{config: c, hosts: newHosts(c.Hosts), total: maxTotal, server: newBudget(maxServer)}
	f.client = &http.Client{
		CheckRedirect: f.redirect,
		// No proxy: it would look names up itself. No idle connections: files are rare.
		Transport: &http.Transport{
			DialContext:       dialer{f.hosts, c.Resolver}.dial,
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		},
	}
	return f
}

// Complete fetches all files of a turn that are given by their URL, some at a time,
// and puts the content in their place. The error is a *wire.Error about the field of
// a file, an *engine.Error when the server fetches too much already, or that ctx ended;
// the turn is then of no use.
func (f *Fetcher) Complete(ctx context.Context, t *engine.Turn) error {
	return f.Files().Complete(ctx, t)
}

// complete is Complete for the links of a turn; those whose content is known already
// have taken known bytes of what a turn may have.
func (f *Fetcher) complete(ctx context.Context, links []link, known int64) error {
	limited, cancel := context.WithTimeout(ctx, f.config.Timeout)
	defer cancel()
	g, each := errgroup.WithContext(limited)
	g.SetLimit(maxAtOnce)
	turn := newBudget(f.total - known)
	for _, l := range links {
		g.Go(func() error {
			b, err := f.fetch(each, l.Blob, turn)
			*l.place = b
			return err
		})
	}
	err := g.Wait()
	f.server.give(f.total - known - turn.left.Load())
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("fetching files: %w", ctx.Err())
}

// link is a file that is given by its URL.
type link struct {
	engine.Blob
	place *engine.Part
}

func collect(links []link, parts []engine.Part) []link {
	for i := range parts {
		switch p := parts[i].(type) {
		case engine.Blob:
			if p.URL != "" {
				links = append(links, link{p, &parts[i]})
			}
		case engine.ToolResult:
			links = collect(links, p.Parts)
		}
	}
	return links
}

func fieldError(b engine.Blob, format string, args ...any) error {
	return &wire.Error{Path: b.Field, Problem: fmt.Sprintf(format, args...)}
}

// check refuses the nth file of a turn before anything is fetched.
func (f *Fetcher) check(n int, b engine.Blob) error {
	u, err := url.Parse(b.URL)
	switch {
	case err != nil || u.Hostname() == "":
		return fieldError(b, "is not a valid URL")
	case f == nil || !f.hosts.allows(u):
		return fieldError(b, "is on the host %s, which server.fetch_remote_media does not list; list it, or send the content itself in base64", u.Host)
	case n == maxFiles:
		return fieldError(b, "is one link too many: at most %d files are fetched for a request", maxFiles)
	}
	return nil
}

func (f *Fetcher) tooMuch(b engine.Blob) error {
	return fieldError(b, "makes the linked files of this request larger than %d bytes together", f.total)
}

func (f *Fetcher) redirect(next *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case next.URL.Scheme == "http" && via[0].URL.Scheme == "https":
		return errors.New("a redirect from https to http")
	case !f.hosts.allows(next.URL):
		return fmt.Errorf("a redirect to the host %s, which server.fetch_remote_media does not list", next.URL.Host)
	}
	return nil
}

// fetch is the file of a link, whose bytes come out of the turn's budget.
func (f *Fetcher) fetch(ctx context.Context, b engine.Blob, turn *budget) (engine.Blob, error) {
	data, declared, err := f.get(ctx, b.URL, turn)
	if busy, ok := errors.AsType[*engine.Error](err); ok {
		return b, busy
	}
	switch {
	case errors.Is(err, errTotal):
		return b, f.tooMuch(b)
	case errors.Is(err, context.DeadlineExceeded):
		return b, fieldError(b, "could not be fetched within %v", f.config.Timeout)
	case err != nil:
		return b, fieldError(b, "could not be fetched: %v", err)
	}
	kind := kindOf(data)
	switch {
	case kind == "" || !fits(kind, b.MediaType):
		return b, fieldError(b, "leads to %s; it must be %s", describe(kind), strings.Join(wanted(b.MediaType), ", "))
	case strings.HasPrefix(declared, "text/"): // other types are wrong too often to matter
		return b, fieldError(b, "leads to what its server calls %s, but its content is %s", declared, kind)
	}
	return engine.Blob{MediaType: kind, Data: data, Name: b.Name}, nil
}

// wanted lists the types that would do.
func wanted(want string) []string {
	return slices.DeleteFunc(slices.Clone(known), func(kind string) bool { return !fits(kind, want) })
}

// get is the content at a URL and the type that its server declares. Errors do not
// tell the URL, which may hold a secret.
func (f *Fetcher) get(ctx context.Context, address string, turn *budget) (data []byte, declared string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("User-Agent", "clinvk")
	res, err := f.client.Do(req)
	if err != nil {
		return nil, "", reason(err)
	}
	defer res.Body.Close()
	tooLarge := fmt.Errorf("it is larger than %d bytes", f.config.MaxBytes)
	switch {
	case res.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("the answer is %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	case res.ContentLength > f.config.MaxBytes:
		return nil, "", tooLarge
	}
	if data, err = io.ReadAll(reader{io.LimitReader(res.Body, f.config.MaxBytes+1), turn, f.server}); err != nil {
		return nil, "", reason(err)
	}
	if int64(len(data)) > f.config.MaxBytes {
		return nil, "", tooLarge
	}
	if declared, _, err = mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil {
		declared = "" // a type that makes no sense says nothing
	}
	return data, normal(declared), nil
}

// reason is an error of the client without the URL.
func reason(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
