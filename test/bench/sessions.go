//go:build unix

package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/clinvk/clinvk/host/store"
	"github.com/clinvk/clinvk/host/store/sqlite"
	"github.com/clinvk/clinvk/test/harness"
)

const (
	// keptSessions is how many there are: those of years.
	keptSessions = 100_000
	// listRequests is the number of measured requests of each kind.
	listRequests = 200
)

// sessions measures the list of sessions over HTTP, and what it costs a turn to be kept.
func sessions(bin string) error {
	home, err := os.MkdirTemp("", "clb")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	begin := time.Now()
	if err := fill(filepath.Join(home, ".clinvk", "clinvk.db")); err != nil {
		return err
	}
	filled := time.Since(begin)
	server, err := harness.Start(harness.Options{Bin: bin, Home: home, Config: "plugins: {allow: [echo]}\n"})
	if err != nil {
		return err
	}
	defer server.Close()
	fmt.Printf("\n%d sessions (made in %.0f s), one client, %d requests each, milliseconds; the bar is 10 at p50\n\n", keptSessions, filled.Seconds(), listRequests)
	fmt.Println("| GET /api/v1/sessions | p50 | p99 |\n|---|---|---|")
	for _, row := range []struct{ title, query string }{
		{"page of 100", ""},
		{"page of 100 in the middle", "offset=50000"},
		{"backend", "backend=codex"},
		{"tag", "tag=tag7"},
		{"working directory", "workdir=" + url.QueryEscape("/home/me/project11")},
		{"search, a word of one session", "q=unique4242"},
		{"search, a word of all sessions", "q=common"},
		{"search, two words of some sessions", "q=" + url.QueryEscape("common topic17")},
		{"search with a tag", "q=topic17&tag=tag7"},
	} {
		var took []time.Duration
		for range listRequests {
			begin := time.Now()
			if _, err := fetch(server.URL + "/api/v1/sessions?" + row.query); err != nil {
				return err
			}
			took = append(took, time.Since(begin))
		}
		fmt.Printf("| %s | %s | %s |\n", row.title, us(quantile(took, .5)), us(quantile(took, .99)))
	}
	return keptTurns(server.URL)
}

// keptTurns compares turns that are kept with those that are not.
func keptTurns(url string) error {
	bodies := []struct{ title, body string }{
		{"ephemeral", `{"backend":"echo","mode":"chat","ephemeral":true,"prompt":"hi"}`},
		{"first of a session", `{"backend":"echo","mode":"chat","prompt":"hi"}`},
	}
	took := make([][]time.Duration, len(bodies))
	for i := range echoRequests/3 + 100 { // in turn, so that the machine's moods hit both
		for j, b := range bodies {
			d, err := timed(url+"/api/v1/prompt", []byte(b.body))
			if err != nil {
				return err
			}
			if i >= 100 {
				took[j] = append(took[j], d)
			}
		}
	}
	fmt.Println("\nEcho turn over REST beside them, milliseconds\n\n| | p50 | p99 |\n|---|---|---|")
	for j, b := range bodies {
		fmt.Printf("| %s | %s | %s |\n", b.title, us(quantile(took[j], .5)), us(quantile(took[j], .99)))
	}
	return nil
}

// fill makes the sessions as a server does, several at a time.
func fill(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return err
	}
	defer s.Close()
	const makers = 4
	var making sync.WaitGroup
	errs := make(chan error, makers)
	for m := range makers {
		making.Go(func() {
			for i := m; i < keptSessions; i += makers {
				if err := s.CreateSession(ctx, exampleSession(i), exampleTurn(i)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	making.Wait()
	close(errs)
	return <-errs
}

func exampleSession(i int) *store.Session {
	return &store.Session{
		ID: fmt.Sprintf("%024x", i*7919), Backend: []string{"claude", "codex", "gemini", "echo"}[i%4], Model: "m", Mode: "agent", Status: "active",
		WorkingDir: fmt.Sprintf("/home/me/project%d", i%50), Title: fmt.Sprintf("Question %d about topic%d", i, i%100),
		Tags: []string{fmt.Sprintf("tag%d", i%20)},
	}
}

func exampleTurn(i int) *store.Append {
	text := fmt.Sprintf("a common question unique%d about topic%d, and an answer of some words that says what is to be done", i, i%100)
	return &store.Append{
		Turn: store.SessionTurn{User: []byte(`[]`), Assistant: []byte(`[]`), Backend: []string{"claude", "codex", "gemini", "echo"}[i%4], FinishReason: "stop"},
		Text: text,
	}
}
