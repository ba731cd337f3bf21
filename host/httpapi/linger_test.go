package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/apikeys"
)

// refuse is a server that takes little, and a connection to it.
func refuse(t *testing.T) net.Conn {
	t.Helper()
	read := Route{Method: "POST", Pattern: "/a/x", Handle: func(_ http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
		_, err := ReadBody(r)
		return err
	}}
	s := httptest.NewServer(newTestServer(t, Config{MaxBody: 1000, Keys: NewKeys(apikeys.Plain("k"))}, read))
	t.Cleanup(s.Close)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(lingerTime / 2)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func wantStatus(t *testing.T, conn net.Conn, status int) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status || len(body) == 0 {
		t.Errorf("%d %q, %v", res.StatusCode, body, err)
	}
}

// TestRefusedBodyIsReadToItsEnd shows that a client that reads only when it has written
// all gets the answer: a connection that is closed on what it still writes is reset,
// and the answer with it.
func TestRefusedBodyIsReadToItsEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		contentType, key string
		chunked          bool
		want             int
	}{
		"too large":            {"application/json", "k", false, 413},
		"too large, in chunks": {"application/json", "k", true, 413},
		"wrong type":           {"text/plain", "k", false, 415},
		"no key":               {"application/json", "", false, 401},
	} {
		t.Run(name, func(t *testing.T) {
			conn := refuse(t)
			const chunk, chunks = 64 << 10, 500 // 32 MB: more than all buffers on the way hold
			length := fmt.Sprintf("Content-Length: %d", chunk*chunks)
			if tt.chunked {
				length = "Transfer-Encoding: chunked"
			}
			_, err := fmt.Fprintf(conn, "POST /a/x HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: %s\r\nContent-Type: %s\r\n%s\r\n\r\n", tt.key, tt.contentType, length)
			if err != nil {
				t.Fatal(err)
			}
			data := make([]byte, chunk)
			for i := range chunks {
				if tt.chunked {
					_, err = fmt.Fprintf(conn, "%x\r\n%s\r\n", chunk, data)
				} else {
					_, err = conn.Write(data)
				}
				if err != nil {
					t.Fatalf("chunk %d: %v", i, err)
				}
			}
			if tt.chunked {
				_, err = io.WriteString(conn, "0\r\n\r\n")
			}
			if err != nil {
				t.Fatal(err)
			}
			wantStatus(t, conn, tt.want)
		})
	}
}

// TestRefusedBodyIsNotWaitedFor shows that a client that reads while it writes need not
// go on.
func TestRefusedBodyIsNotWaitedFor(t *testing.T) {
	conn := refuse(t)
	if _, err := fmt.Fprintf(conn, "POST /a/x HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: k\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n%2000s", ""); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, conn, http.StatusRequestEntityTooLarge)
}
