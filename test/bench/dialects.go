//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// dialectChunks are the pieces of a streamed answer: the echo plugin sends one a word.
const dialectChunks = 50

// dialectClients ask at one time.
var dialectClients = []int{1, 8, 64}

// request is one kind of request whose throughput is measured.
type request struct {
	title, path string
	body        map[string]any
	stream      bool
}

func requests() []request {
	messages := []map[string]any{{"role": "user", "content": strings.TrimSpace(strings.Repeat("word ", dialectChunks))}}
	chat := map[string]any{"model": "echo", "messages": messages}
	message := map[string]any{"model": "echo", "messages": messages, "max_tokens": 1000}
	return []request{
		{"chat/completions", "/openai/v1/chat/completions", chat, false},
		{"chat/completions, stream", "/openai/v1/chat/completions", chat, true},
		{"messages", "/anthropic/v1/messages", message, false},
		{"messages, stream", "/anthropic/v1/messages", message, true},
	}
}

// dialects measures throughput through each dialect, beside a bare Go handler that
// reads the same body and writes the same bytes, a stream with a flush after each
// event. Every figure takes that long.
func dialects(bin string, length time.Duration) error {
	server, err := harness.Start(harness.Options{Bin: bin, Config: "plugins: {allow: [echo]}\n"})
	if err != nil {
		return err
	}
	defer server.Close()
	fmt.Printf("\nThroughput over the echo plugin, streams of %d chunks, %v each\n\n", dialectChunks, length)
	fmt.Println("| request | clients | bare Go handler, requests/s | clinvk, requests/s | ratio | bare, p50 ms | clinvk, p50 ms |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, r := range requests() {
		if err := r.rows(server.URL, length); err != nil {
			return fmt.Errorf("%s: %w", r.title, err)
		}
	}
	return nil
}

// rows prints the lines of one kind of request.
func (r request) rows(url string, length time.Duration) error {
	r.body["stream"] = r.stream
	body, err := json.Marshal(r.body)
	if err != nil {
		return err
	}
	answer, err := post(url+r.path, body)
	if err != nil {
		return err
	}
	bareURL, stop, err := r.bare(answer)
	if err != nil {
		return err
	}
	defer stop()
	for _, clients := range dialectClients {
		bare, err := measure(bareURL, body, clients, length)
		if err != nil {
			return err
		}
		through, err := measure(url+r.path, body, clients, length)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %d | %.0f | %.0f | %.2f | %s | %s |\n", r.title, clients,
			bare.rate, through.rate, through.rate/bare.rate, us(bare.p50), us(through.p50))
	}
	return nil
}

// bare serves the answer to whoever asks.
func (r request) bare(answer []byte) (url string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	kind, pieces := "application/json", [][]byte{answer}
	if r.stream {
		kind, pieces = "text/event-stream", bytes.SplitAfter(bytes.TrimSuffix(answer, []byte("\n\n")), []byte("\n\n"))
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		raw, _ := io.ReadAll(q.Body)
		var v map[string]any
		if json.Unmarshal(raw, &v) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", kind)
		for _, piece := range pieces {
			_, _ = w.Write(piece)
			if r.stream {
				_ = http.NewResponseController(w).Flush()
			}
		}
	})}
	go func() { _ = server.Serve(ln) }()
	return "http://" + ln.Addr().String(), func() { _ = server.Close() }, nil
}

// figure is what one measurement found.
type figure struct {
	rate float64 // requests per second
	p50  time.Duration
}

// measure asks with that many clients for as long, after a tenth of that which does
// not count.
func measure(url string, body []byte, clients int, length time.Duration) (figure, error) {
	var (
		mu    sync.Mutex
		times []time.Duration
		first error
		wg    sync.WaitGroup
	)
	begin := time.Now().Add(length / 10)
	end := begin.Add(length)
	for range clients {
		wg.Go(func() {
			var own []time.Duration
			var err error
			for err == nil && time.Now().Before(end) {
				started := time.Now()
				var took time.Duration
				if took, err = timed(url, body); err == nil && !started.Before(begin) {
					own = append(own, took)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, own...)
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	if first != nil {
		return figure{}, first
	}
	return figure{rate: float64(len(times)) / time.Since(begin).Seconds(), p50: median(times)}, nil
}
