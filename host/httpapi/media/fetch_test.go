package media

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
)

// lookup resolves every name to the same addresses.
type lookup []string

func (l lookup) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, ip := range l {
		out = append(out, netip.MustParseAddr(ip))
	}
	return out, nil
}

// serveFiles has a file of each kind, and what can go wrong.
func serveFiles(t *testing.T) (s *httptest.Server, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	mux := http.NewServeMux()
	file := func(path, mediaType, content string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header().Set("Content-Type", mediaType)
			_, _ = fmt.Fprint(w, content)
		})
	}
	file("/a.png", "image/png", png)
	file("/a.jpg", "image/jpg", jpeg)
	file("/a.gif", "application/octet-stream", gif)
	file("/a.webp", ";", webp)
	file("/a.pdf", "application/pdf; qs=0.1", pdf)
	file("/page", "text/html", "<html>")
	file("/lie", "image/png", gif)
	file("/binary", "binary/octet-stream", png)
	file("/old.jpg", "image/pjpeg", jpeg)
	file("/old.pdf", "application/x-pdf", pdf)
	file("/text", "text/plain; charset=utf-8", png)
	file("/empty", "image/png", "")
	file("/large", "image/png", png+strings.Repeat("0", 1000))
	redirect := func(path, target string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) })
	}
	redirect("/moved", "/a.png")
	redirect("/away", "http://example.com/a.png")
	redirect("/loop", "/loop")
	redirect("/other", "ftp://127.0.0.1/a.png")
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/chunks", func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			_, _ = fmt.Fprint(w, png)
			w.(http.Flusher).Flush()
		}
	})
	s = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s, asked
}

func image(url string) *engine.Turn {
	return &engine.Turn{Messages: []engine.Message{{Role: engine.RoleUser, Parts: []engine.Part{
		engine.Text("look"), engine.Blob{URL: url, Field: "f", MediaType: "image/"},
	}}}}
}

func TestFetch(t *testing.T) {
	s, _ := serveFiles(t)
	f := New(Config{Hosts: []string{strings.TrimPrefix(s.URL, "http://")}, MaxBytes: 500})
	for name, tt := range map[string]struct{ path, kind, data, problem string }{
		"png":               {"/a.png", typePNG, png, ""},
		"jpeg":              {"/a.jpg", typeJPEG, jpeg, ""},
		"no type":           {"/a.gif", typeGIF, gif, ""},
		"senseless type":    {"/a.webp", typeWebP, webp, ""},
		"redirect":          {"/moved", typePNG, png, ""},
		"pdf":               {"/a.pdf", "", "", "leads to application/pdf; it must be image/png, image/jpeg, image/gif, image/webp"},
		"no image":          {"/page", "", "", "leads to something else"},
		"wrong type":        {"/lie", typeGIF, gif, ""},
		"binary":            {"/binary", typePNG, png, ""},
		"old name":          {"/old.jpg", typeJPEG, jpeg, ""},
		"old name of PDF":   {"/old.pdf", "", "", "leads to application/pdf"},
		"text":              {"/text", "", "", "its server calls text/plain, but its content is image/png"},
		"empty":             {"/empty", "", "", "leads to something else"},
		"too large":         {"/large", "", "", "larger than 500 bytes"},
		"size not told":     {"/chunks", "", "", "larger than 500 bytes"},
		"not found":         {"/none", "", "", "the answer is 404 Not Found"},
		"off the list":      {"/away", "", "", "a redirect to the host example.com, which server.fetch_remote_media does not list"},
		"another scheme":    {"/other", "", "", "a redirect to the host 127.0.0.1"},
		"endless":           {"/loop", "", "", "more than 3 redirects"},
		"no secret is told": {"/none?secret", "", "", "404"},
	} {
		t.Run(name, func(t *testing.T) {
			turn := image(s.URL + tt.path)
			err := f.Complete(t.Context(), turn)
			if tt.problem != "" {
				wantProblem(t, err, "f", tt.problem)
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error tells the URL: %v", err)
				}
				return
			}
			want := []engine.Part{engine.Text("look"), engine.Blob{MediaType: tt.kind, Data: []byte(tt.data)}}
			if diff := cmp.Diff(want, turn.Messages[0].Parts); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestWhatMayBeFetched(t *testing.T) {
	s, asked := serveFiles(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	const refused = "does not list; list it, or send the content itself in base64"
	for name, tt := range map[string]struct {
		hosts    []string
		url      string
		resolver lookup
		problem  string // empty: it is fetched
	}{
		"nothing by default":     {nil, "http://127.0.0.1:" + port, nil, refused},
		"another host":           {[]string{"example.com"}, "http://127.0.0.1:" + port, nil, refused},
		"another port":           {[]string{"127.0.0.1:1"}, "http://127.0.0.1:" + port, nil, refused},
		"a usual port":           {[]string{"127.0.0.1"}, "http://127.0.0.1:" + port, nil, refused},
		"credentials":            {[]string{"127.0.0.1:" + port}, "http://u:p@127.0.0.1:" + port, nil, refused},
		"no host":                {[]string{"127.0.0.1:" + port}, "http:///", nil, "not a valid URL"},
		"an address":             {[]string{"127.0.0.1:" + port}, "http://127.0.0.1:" + port, nil, ""},
		"another way to write":   {[]string{"127.0.0.1:" + port}, "http://[::ffff:127.0.0.1]:" + port, nil, ""},
		"localhost":              {[]string{"localhost:" + port}, "http://LOCALHOST:" + port, lookup{"127.0.0.1"}, ""},
		"a name that leads here": {[]string{"a.example:" + port}, "http://a.example:" + port, lookup{"127.0.0.1"}, "has the address 127.0.0.1, which is not a public one"},
		"mapped":                 {[]string{"a.example:" + port}, "http://a.example:" + port, lookup{"::ffff:127.0.0.1"}, "not a public one"},
		"metadata":               {[]string{"a.example:" + port}, "http://a.example:" + port, lookup{"169.254.169.254"}, "not a public one"},
		"one of two":             {[]string{"a.example:" + port}, "http://a.example:" + port, lookup{"192.0.32.8", "10.0.0.1"}, "has the address 10.0.0.1"},
		"name and address":       {[]string{"a.example:" + port, "127.0.0.1:" + port}, "http://A.example.:" + port, lookup{"127.0.0.1"}, ""},
		"name and localhost":     {[]string{"a.example:" + port, "localhost:" + port}, "http://a.example:" + port, lookup{"127.0.0.1"}, ""},
		"no address":             {[]string{"a.example:" + port}, "http://a.example:" + port, lookup{}, "has no address"},
	} {
		t.Run(name, func(t *testing.T) {
			before := asked.Load()
			f := New(Config{Hosts: tt.hosts, Resolver: tt.resolver})
			err := f.Complete(t.Context(), image(tt.url+"/a.png"))
			if tt.problem == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantProblem(t, err, "f", tt.problem)
			if asked.Load() != before {
				t.Error("it was asked for")
			}
		})
	}
	var none *Fetcher
	wantProblem(t, none.Complete(t.Context(), image(s.URL)), "f", refused)
}

// rebinding is a name that is another address the second time.
type rebinding struct{ n atomic.Int64 }

func (r *rebinding) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	if r.n.Add(1) == 1 {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.2")}, nil
}

// TestRebinding shows that each connection goes to an address that was checked: the
// name leads to a listed address at first, and to another after the redirect.
func TestRebinding(t *testing.T) {
	s, asked := serveFiles(t)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	f := New(Config{Hosts: []string{"a.example:" + u.Port(), u.Host}, Resolver: &rebinding{}})
	wantProblem(t, f.Complete(t.Context(), image("http://a.example:"+u.Port()+"/moved")), "f", "has the address 127.0.0.2")
	if asked.Load() != 0 {
		t.Error("the second address was asked")
	}
}

func TestPublic(t *testing.T) {
	for ip, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.100.100.200": false,
		"0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false, "255.255.255.255": false, "168.63.129.16": false, "198.18.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false,
		"2000::1": true, "3ffe::1": true, "::127.0.0.1": false, "::10.0.0.1": false, "::8.8.8.8": false, "::ffff:0:127.0.0.1": false, "::ffff:10.0.0.1": false,
		"5f00::1": false, "1fff::1": false, "4000::1": false, "3fff::1": false, "100::1": false, "fec0::1": false,
		"64:ff9b::a00:1": false, "2002:a00:1::": false, "2001:db8::1": false, "2606:4700::1111%eth0": false,
	} {
		if got := public(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %v", ip, got)
		}
	}
}

func TestHangingServer(t *testing.T) {
	s, _ := serveFiles(t)
	f := New(Config{Hosts: []string{strings.TrimPrefix(s.URL, "http://")}, Timeout: 50 * time.Millisecond})
	wantProblem(t, f.Complete(t.Context(), image(s.URL+"/hang")), "f", "could not be fetched within 50ms")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Complete(ctx, image(s.URL+"/hang")); !errors.Is(err, context.Canceled) {
		t.Errorf("the client is gone, and the error is %v", err)
	}
}

func TestManyFiles(t *testing.T) {
	s, asked := serveFiles(t)
	f := New(Config{Hosts: []string{strings.TrimPrefix(s.URL, "http://")}})
	turn := func(n int) *engine.Turn {
		t := &engine.Turn{Messages: []engine.Message{{Role: engine.RoleUser}}}
		for i := range n {
			blob := engine.Blob{URL: s.URL + "/a.png", Field: fmt.Sprintf("f%d", i), MediaType: "image/"}
			t.Messages[0].Parts = append(t.Messages[0].Parts, engine.ToolResult{CallID: "c", Parts: []engine.Part{blob}})
		}
		return t
	}
	wantProblem(t, f.Complete(t.Context(), turn(maxFiles+1)), "f32", "one link too many: at most 32")
	if asked.Load() != 0 {
		t.Errorf("%d files were fetched for nothing", asked.Load())
	}
	most := turn(maxFiles)
	if err := f.Complete(t.Context(), most); err != nil || asked.Load() != maxFiles {
		t.Fatalf("%d fetched, %v", asked.Load(), err)
	}
	for _, p := range most.Messages[0].Parts {
		want := []engine.Part{engine.Blob{MediaType: typePNG, Data: []byte(png)}}
		if diff := cmp.Diff(want, p.(engine.ToolResult).Parts); diff != "" {
			t.Fatal(diff)
		}
	}
	one := turn(3)
	one.Messages[0].Parts[1].(engine.ToolResult).Parts[0] = engine.Blob{URL: s.URL + "/none", Field: "missing", MediaType: "image/"}
	wantProblem(t, f.Complete(t.Context(), one), "missing", "404")
}

// TestSomeAtATime shows that files are fetched side by side, and not all at once.
func TestSomeAtATime(t *testing.T) {
	var active, most atomic.Int64
	var once sync.Once
	enough := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := active.Add(1)
		defer active.Add(-1)
		for {
			old := most.Load()
			if n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		if n == maxAtOnce {
			once.Do(func() { close(enough) })
		}
		<-enough
		_, _ = fmt.Fprint(w, png)
	}))
	defer s.Close()
	turn := &engine.Turn{Messages: []engine.Message{{Role: engine.RoleUser}}}
	for range 4 * maxAtOnce {
		turn.Messages[0].Parts = append(turn.Messages[0].Parts, engine.Blob{URL: s.URL, Field: "f", MediaType: "image/"})
	}
	f := New(Config{Hosts: []string{strings.TrimPrefix(s.URL, "http://")}})
	if err := f.Complete(t.Context(), turn); err != nil || most.Load() != maxAtOnce {
		t.Errorf("%d at a time, %v", most.Load(), err)
	}
}

// TestFilesOfARequest: the turns of a request share what was fetched, but each has its
// own bounds and may want another type.
func TestFilesOfARequest(t *testing.T) {
	s, asked := serveFiles(t)
	f := New(Config{Hosts: []string{strings.TrimPrefix(s.URL, "http://")}})
	files := f.Files()
	for i := range 2 {
		turn := image(s.URL + "/a.png")
		if err := files.Complete(t.Context(), turn); err != nil || asked.Load() != 1 {
			t.Fatalf("turn %d: fetched %d times, %v", i, asked.Load(), err)
		}
		want := []engine.Part{engine.Text("look"), engine.Blob{MediaType: typePNG, Data: []byte(png)}}
		if diff := cmp.Diff(want, turn.Messages[0].Parts); diff != "" {
			t.Error(diff)
		}
	}
	asPDF := image(s.URL + "/a.png")
	asPDF.Messages[0].Parts[1] = engine.Blob{URL: s.URL + "/a.png", Field: "f", MediaType: typePDF}
	wantProblem(t, files.Complete(t.Context(), asPDF), "f", "leads to image/png; it must be application/pdf")
	f.total = int64(len(png)) - 1
	wantProblem(t, files.Complete(t.Context(), image(s.URL+"/a.png")), "f", "larger than")
}

// TestBytesTogether: files that are fetched side by side cannot come to more than a
// turn may have, and neither those of all turns; what was reserved is given back.
func TestBytesTogether(t *testing.T) {
	const size = 3 * reserve
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, png+strings.Repeat("0", size-len(png)))
	}))
	defer s.Close()
	f := New(Config{Hosts: []string{strings.TrimPrefix(s.URL, "http://")}})
	turn := func(n int) *engine.Turn {
		t := &engine.Turn{Messages: []engine.Message{{Role: engine.RoleUser}}}
		for range n {
			t.Messages[0].Parts = append(t.Messages[0].Parts, engine.Blob{URL: s.URL, Field: "f", MediaType: "image/"})
		}
		return t
	}
	const slack = maxAtOnce * reserve // what is reserved for the next piece of each
	f.total = 2*size + slack
	wantProblem(t, f.Complete(t.Context(), turn(maxAtOnce)), "f", fmt.Sprintf("larger than %d bytes together", f.total))
	if err := f.Complete(t.Context(), turn(2)); err != nil {
		t.Error(err)
	}
	f.total, f.server = maxTotal, newBudget(size+reserve)
	err := f.Complete(t.Context(), turn(2))
	if e, ok := errors.AsType[*engine.Error](err); !ok || e.Code != engine.CodeQueueFull || !e.Retryable {
		t.Errorf("too much for the server: %v", err)
	}
	if err := f.Complete(t.Context(), turn(1)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if left := f.server.left.Load(); left != size+reserve {
		t.Errorf("%d bytes are left of the server's", left)
	}
}
