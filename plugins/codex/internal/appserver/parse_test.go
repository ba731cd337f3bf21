package appserver

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLog reads what the real CLI logged: a good answer, a 429 with Retry-After,
// a 500, a 429 over WebSocket with the request over HTTP that followed.
func TestLog(t *testing.T) {
	f, err := os.Open("testdata/log.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := &logReader{now: time.Now}
	var records []LogRecord
	var plain []string
	threads := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		thread, record, text := r.read(lines.Text())
		if record != nil {
			records = append(records, *record)
			threads[thread] = true
		}
		if text != "" {
			plain = append(plain, text)
		}
	}
	want := []LogRecord{
		{Kind: Answered, Status: 200},
		{Kind: Answered, Status: 429, RetryAfter: 7 * time.Second, Message: "http 429"},
		{Kind: Answered, Status: 500, Message: "http 500"},
		{Kind: StreamFailed, Message: "exceeded retry limit, last status: 429 Too Many Requests"},
		{Kind: Answered, Status: 429, RetryAfter: time.Second, Message: "http 429"},
	}
	if diff := cmp.Diff(want, records); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if len(threads) != 4 || threads[""] {
		t.Errorf("threads %v", threads)
	}
	if diff := cmp.Diff([]string{"Reading additional input", "ERROR codex_app_server: something broke"}, plain); diff != "" {
		t.Errorf("lines for people (-want +got):\n%s", diff)
	}
	if len(r.heads) > 0 {
		t.Errorf("%d heads were not claimed", len(r.heads))
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]time.Duration{
		"7": 7 * time.Second, "0.5": 500 * time.Millisecond, "": 0, "-3": 0, "soon": 0, "1e300": 0, "NaN": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	}
	for text, want := range tests {
		if got := parseRetryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzLog(f *testing.F) {
	f.Add(`{"level":"INFO","fields":{"event.name":"codex.api_request","http.response.status_code":429,"conversation.id":"t"},"target":"codex_otel.log_only"}`)
	f.Add(`{"level":"DEBUG","fields":{"message":"Request completed","status":"429 Too Many Requests","headers":"{\"retry-after\": \"7\"}"},"target":"codex_http_client::client"}`)
	f.Fuzz(func(t *testing.T, line string) {
		r := &logReader{now: time.Now}
		for range 2 {
			if _, record, _ := r.read(line); record != nil && (record.RetryAfter < 0 || record.RetryAfter > maxRetryAfter) {
				t.Errorf("%+v", record)
			}
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"id":1,"result":{}}`))
	f.Add([]byte(`{"method":"item/agentMessage/delta","params":{"threadId":"t","delta":"x"}}`))
	f.Add([]byte(`{"id":0,"method":"item/tool/call","params":{"threadId":"t"}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := parseMessage(line)
		if err != nil {
			return
		}
		threadOf(m.Params)
		if _, err := json.Marshal(m); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	})
}

func TestInboxIsBounded(t *testing.T) {
	b := newInbox()
	for range 5 {
		b.put(Event{Params: make(json.RawMessage, maxInbox/4)})
	}
	events, overflow := b.Take()
	if len(events) != 4 || !overflow {
		t.Errorf("%d events, overflow %v", len(events), overflow)
	}
}
