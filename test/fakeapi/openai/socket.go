package openai

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/clinvk/clinvk/test/fakeapi"
)

// upgrade serves one WebSocket until the client or the fake closes it.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	s.sockets.Add(1)
	defer s.sockets.Done()
	w.Header().Set("X-Request-Id", s.id("req"))
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	context.AfterFunc(ctx, func() { _ = conn.CloseNow() }) // nobody to tell
	go func() {
		select {
		case <-s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	conn.SetReadLimit(-1)
	k := &socket{server: s, conn: conn, ctx: ctx, drop: cancel, header: r.Header.Clone(), known: map[string][]json.RawMessage{}}
	k.serve()
}

// socket is the transport over WebSocket: many requests after each other, each
// either whole or only what is new since an earlier response.
type socket struct {
	server *Server
	conn   *websocket.Conn
	ctx    context.Context // of the connection
	drop   context.CancelFunc
	header http.Header
	known  map[string][]json.RawMessage // input and output up to a response, by its id
}

func (k *socket) serve() {
	// Reading goes on while an answer is written, so that a closed connection is
	// noticed in the middle of it.
	requests := make(chan []byte, 16)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(requests)
		defer k.drop()
		for {
			_, message, err := k.conn.Read(k.ctx)
			if err != nil {
				return
			}
			requests <- message
		}
	})
	for message := range requests {
		k.answer(message)
	}
	wg.Wait()
}

func (k *socket) answer(message []byte) {
	entry := &fakeapi.Request{At: time.Now(), Method: "WS", Path: "/v1/responses", Header: k.header, Body: message}
	req, err := parse(message)
	if err == nil {
		entry.Body, err = req.complete(message, k.known)
	}
	entry.Turn = err == nil && !req.prewarm()
	k.server.Log.Add(entry)
	if err != nil {
		k.fail(failure{status: http.StatusBadRequest, message: "fake API: " + err.Error()})
		return
	}
	a := &answer{server: k.server, request: req, out: k, ctx: k.ctx}
	if req.prewarm() {
		entry.Finished(!a.prewarmed())
		return
	}
	leave := k.server.Log.Enter()
	defer leave()
	entry.Finished(!a.run())
}

func (k *socket) begin() {}

func (k *socket) event(_ string, pieces [][]byte, pause func() bool) bool {
	w, err := k.conn.Writer(k.ctx, websocket.MessageText)
	if err != nil {
		return false
	}
	for i, p := range pieces { // each piece is a frame of its own
		if i > 0 && !pause() {
			return false
		}
		if _, err := w.Write(p); err != nil {
			return false
		}
	}
	return w.Close() == nil
}

func (k *socket) fail(f failure) {
	e := object{"type": "error", "status": f.status, "error": f.body()}
	if f.retryAfter > 0 {
		e["headers"] = object{"retry-after": strconv.Itoa(f.retryAfter)}
	}
	text, err := json.Marshal(e)
	if err != nil {
		return
	}
	_ = k.conn.Write(k.ctx, websocket.MessageText, text) // a client that has left is noticed by its own test
}

func (k *socket) cut() { k.drop() }
