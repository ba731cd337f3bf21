//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// Numbers of requests.
const (
	echoRequests = 3000
	echoClients  = 8
)

// echo measures what HTTP, engine, gRPC and a plugin add to a bare Go handler
// that reads the same body and writes the same bytes.
func echo(bin string) error {
	server, err := harness.Start(harness.Options{Bin: bin, Config: "plugins: {allow: [echo]}\n"})
	if err != nil {
		return err
	}
	defer server.Close()
	const path = "/openai/v1/chat/completions"
	body := []byte(`{"model":"echo","messages":[{"role":"user","content":"hi"}]}`)
	answer, err := post(server.URL+path, body)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	bare := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		var v map[string]any
		if json.Unmarshal(raw, &v) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})}
	go func() { _ = bare.Serve(ln) }()
	defer bare.Close()
	bareURL := "http://" + ln.Addr().String() + path

	var direct, through []time.Duration
	for i := range echoRequests + 200 { // in turn, so that the machine's moods hit both
		d, err := timed(bareURL, body)
		if err != nil {
			return err
		}
		t, err := timed(server.URL+path, body)
		if err != nil {
			return err
		}
		if i >= 200 {
			direct, through = append(direct, d), append(through, t)
		}
	}
	fmt.Printf("\nEcho turn, one client, %d requests each in turn, milliseconds\n\n", echoRequests)
	fmt.Println("| | p50 | p99 |\n|---|---|---|")
	fmt.Printf("| bare Go handler | %s | %s |\n", us(quantile(direct, .5)), us(quantile(direct, .99)))
	fmt.Printf("| clinvk with the echo plugin | %s | %s |\n", us(quantile(through, .5)), us(quantile(through, .99)))
	fmt.Printf("| added (bar 0.350 at p50) | %s | %s |\n", us(quantile(through, .5)-quantile(direct, .5)), us(quantile(through, .99)-quantile(direct, .99)))

	bareRate, err := rate(bareURL, body)
	if err != nil {
		return err
	}
	echoRate, err := rate(server.URL+path, body)
	if err != nil {
		return err
	}
	fmt.Printf("\nThroughput, %d clients, requests per second\n\n| bare Go handler | clinvk with the echo plugin | ratio |\n|---|---|---|\n", echoClients)
	fmt.Printf("| %.0f | %.0f | %.2f |\n", bareRate, echoRate, echoRate/bareRate)
	return nil
}

func us(d time.Duration) string { return fmt.Sprintf("%.3f", float64(d.Nanoseconds())/1e6) }

func timed(url string, body []byte) (time.Duration, error) {
	begin := time.Now()
	_, err := post(url, body)
	return time.Since(begin), err
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

func post(url string, body []byte) ([]byte, error) {
	resp, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return b, err
}

func rate(url string, body []byte) (float64, error) {
	var wg sync.WaitGroup
	errs := make(chan error, echoClients)
	begin := time.Now()
	for range echoClients {
		wg.Go(func() {
			for range echoRequests / 2 {
				if _, err := post(url, body); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	select {
	case err := <-errs:
		return 0, err
	default:
		return float64(echoClients*echoRequests/2) / took.Seconds(), nil
	}
}
