//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// healthRequests is the number of measured requests.
const healthRequests = 3000

// health measures GET /health with all backends beside a bare Go handler that writes
// the same bytes.
func health(bin string) error {
	server, err := harness.Start(harness.Options{Bin: bin})
	if err != nil {
		return err
	}
	defer server.Close()
	url := server.URL + "/health"
	answer, err := fetch(url)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	bare := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})}
	go func() { _ = bare.Serve(ln) }()
	defer bare.Close()
	var direct, through []time.Duration
	for i := range healthRequests + 200 { // in turn, so that the machine's moods hit both
		begin := time.Now()
		if _, err := fetch("http://" + ln.Addr().String()); err != nil {
			return err
		}
		middle := time.Now()
		if _, err := fetch(url); err != nil {
			return err
		}
		if i >= 200 {
			direct, through = append(direct, middle.Sub(begin)), append(through, time.Since(middle))
		}
	}
	fmt.Printf("\nGET /health, one client, %d requests each in turn, milliseconds\n\n", healthRequests)
	fmt.Println("| | p50 | p99 |\n|---|---|---|")
	fmt.Printf("| bare Go handler | %s | %s |\n", us(quantile(direct, .5)), us(quantile(direct, .99)))
	fmt.Printf("| clinvk (bar 1.000 at p50) | %s | %s |\n", us(quantile(through, .5)), us(quantile(through, .99)))
	return nil
}

// fetch reads what is at url. Health is a 503 where no CLI is installed; that takes
// as long.
func fetch(url string) ([]byte, error) {
	resp, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
