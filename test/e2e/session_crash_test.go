//go:build unix

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// TestSessionsSurviveKill: the server is killed at random while it writes sessions. Each
// turn that was answered is there afterwards, and each session goes on at once.
func TestSessionsSurviveKill(t *testing.T) {
	kills := 8
	if os.Getenv("CLINVK_CHAOS") != "" {
		kills = 200
	}
	k := &keeper{world: &world{}}
	var err error
	if k.home, err = os.MkdirTemp("", "clv-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(k.home) })
	start := func() {
		s, err := harness.Start(harness.Options{Bin: bin, Home: k.home, Config: "plugins: {allow: [echo]}\n"})
		if err != nil {
			t.Fatal(err)
		}
		k.server = s
	}
	start()
	const writers = 4
	acknowledged := make([]int, writers)
	var slowest time.Duration
	for range kills {
		ctx, cancel := context.WithCancel(t.Context())
		var writing sync.WaitGroup
		begun := make(chan struct{}, writers)
		for w := range writers {
			writing.Go(func() { acknowledged[w] += write(ctx, k.server.URL, w, acknowledged[w], begun) })
		}
		for range writers {
			<-begun // the first turn of each is answered, or has failed
		}
		pause := time.NewTimer(time.Duration(rand.IntN(60)) * time.Millisecond)
		<-pause.C
		k.server.Kill()
		cancel()
		writing.Wait()
		if left := k.server.WaitLeftovers(20 * time.Second); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		begin := time.Now()
		start()
		slowest = max(slowest, time.Since(begin))
		for w := range writers {
			acknowledged[w] = survived(t, k.server.URL, w, acknowledged[w])
		}
	}
	if err := k.server.Close(); err != nil {
		t.Error(err)
	}
	total := 0
	for _, n := range acknowledged {
		total += n
	}
	if total < kills*writers {
		t.Errorf("only %d turns were kept: nothing was written while the server was killed", total)
	}
	t.Logf("%d kills, %d turns kept, slowest start %v", kills, total, slowest)
}

func sessionOf(writer int) string { return fmt.Sprintf("writer-%d", writer) }

// write adds turns to a session until the server is gone, and returns how many were
// answered. Turn n asks for the text n. begun hears of the first answer.
func write(ctx context.Context, url string, writer, from int, begun chan<- struct{}) (answered int) {
	defer func() {
		if answered == 0 {
			begun <- struct{}{}
		}
	}()
	for ctx.Err() == nil {
		body := fmt.Sprintf(`{"model": "echo", "messages": [{"role": "user", "content": "%d"}]}`, from+answered+1)
		q, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/openai/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			return answered
		}
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("X-Clinvk-Session", sessionOf(writer))
		response, err := http.DefaultClient.Do(q)
		if err != nil {
			return answered
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !bytes.Contains(text, []byte("chat.completion")) {
			return answered
		}
		if answered++; answered == 1 {
			begun <- struct{}{}
		}
	}
	return answered
}

// survived checks the transcript of a session, goes on with it, and returns how many
// turns it has then. One turn more than was answered may be there.
func survived(t *testing.T, url string, writer, answered int) int {
	t.Helper()
	var full struct {
		Transcript []struct {
			User      []struct{ Content []struct{ Text string } }
			Assistant []struct{ Text string }
		}
	}
	if status := request(t, http.MethodGet, url+"/api/v1/sessions/"+sessionOf(writer), nil, &full); status != http.StatusOK && answered > 0 {
		t.Fatalf("status %d, and %d turns were answered", status, answered)
	}
	n := len(full.Transcript)
	if n < answered || n > answered+1 {
		t.Errorf("%d turns are kept, %d were answered", n, answered)
	}
	for i, turn := range full.Transcript {
		want := fmt.Sprint(i + 1)
		if turn.User[0].Content[0].Text != want || turn.Assistant[0].Text != want {
			raw, _ := json.Marshal(turn)
			t.Errorf("turn %s is %s", want, raw)
		}
	}
	var r kept
	body := fields{"session_id": sessionOf(writer), "prompt": fmt.Sprint(n + 1)}
	if n == 0 {
		return 0
	}
	if status := request(t, http.MethodPost, url+"/api/v1/prompt", body, &r); status != http.StatusOK {
		t.Errorf("it does not go on: %d %s", status, r.Detail)
		return n
	}
	return n + 1
}
