package openai

import (
	"context"
	"net/http"
	"strings"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/media"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// Engine is what the dialect needs of the engine.
type Engine interface {
	Execute(ctx context.Context, t *engine.Turn) (*engine.Execution, error)
	Models() []engine.Model
	Model(id string) (engine.Model, error)
}

// Config of the dialect.
type Config struct {
	// Engine that turns go to; required.
	Engine Engine
	// StrictParams makes parameters that would be ignored an error
	// (server.strict_params).
	StrictParams bool
	// Media fetches linked images; nil: none is fetched.
	Media *media.Fetcher
}

// Dialect is OpenAI's. It implements httpapi.Dialect; its methods may be called
// concurrently.
type Dialect struct{ config Config }

// New makes the dialect.
func New(c Config) *Dialect { return &Dialect{config: c} }

// Name for logs.
func (*Dialect) Name() string { return "openai" }

// prefixes are where the routes are: the documented one, the one that clients expect
// which know only a host, and the one of clients that leave /v1 out.
var prefixes = []string{"/openai/v1", "/v1", "/openai"}

// Prefixes of paths whose errors are OpenAI's.
func (*Dialect) Prefixes() []string { return []string{"/openai", "/v1"} }

// Routes lists what there is, and what there is in OpenAI's API but not here.
func (d *Dialect) Routes() []httpapi.Route {
	var out []httpapi.Route
	for _, prefix := range prefixes {
		out = append(out,
			httpapi.Route{Method: http.MethodGet, Pattern: prefix + "/models", OperationID: "listOpenAIModels", Handle: d.listModels},
			httpapi.Route{Method: http.MethodGet, Pattern: prefix + "/models/*model", OperationID: "getOpenAIModel", Handle: d.getModel},
			httpapi.Route{Method: http.MethodPost, Pattern: prefix + "/chat/completions", OperationID: "createChatCompletion", Handle: d.chat},
			httpapi.Route{Method: http.MethodPost, Pattern: prefix + "/completions", OperationID: "createCompletion", Handle: d.complete},
		)
		for _, m := range missing {
			for _, method := range m.methods {
				out = append(out, httpapi.Route{Method: method, Pattern: prefix + m.path, OperationID: "unsupportedOpenAI", Handle: unsupported(m.what)})
			}
		}
	}
	return out
}

// chat answers POST /chat/completions.
func (d *Dialect) chat(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	q, err := readBody(r, decodeChat)
	if err != nil {
		return err
	}
	return d.run(w, r, q, form{
		prefix: chatPrefix,
		stream: func(h header) httpapi.ChoiceEncoder { return newStream(h, q) },
		answer: func(h header, answers []*engine.Answer) []byte { return encodeAnswer(h, q.functions, answers) },
	})
}

// complete answers POST /completions.
func (d *Dialect) complete(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	q, err := readBody(r, decodeCompletion)
	if err != nil {
		return err
	}
	return d.run(w, r, q, form{
		prefix: textPrefix,
		stream: func(h header) httpapi.ChoiceEncoder { return newTextStream(h, q) },
		answer: func(h header, answers []*engine.Answer) []byte { return encodeCompletion(h, q, answers) },
	})
}

func readBody(r *http.Request, decode func([]byte) (*request, error)) (*request, error) {
	body, err := httpapi.ReadBody(r)
	if err != nil {
		return nil, err
	}
	return decode(body)
}

// form is how answers of a kind are written.
type form struct {
	prefix string // of ids
	stream func(header) httpapi.ChoiceEncoder
	answer func(header, []*engine.Answer) []byte
}

// run executes the turns of a request and answers with them. The first is admitted
// before anything else is done, so that it is refused with a status of its own; the
// others may have to wait until it is over.
func (d *Dialect) run(w http.ResponseWriter, r *http.Request, q *request, f form) error {
	if err := d.prepare(r, q); err != nil {
		return err
	}
	x, err := d.config.Engine.Execute(r.Context(), q.turnOf(0))
	if err != nil {
		return err
	}
	defer x.Close()
	var more []httpapi.Start
	for choice := 1; choice < q.choices(); choice++ {
		more = append(more, func(ctx context.Context) (*engine.Execution, error) {
			return d.config.Engine.Execute(ctx, q.turnOf(choice))
		})
	}
	h, ignored := newHeader(x, f.prefix), q.words(x.Ignored)
	if q.stream {
		return httpapi.StreamChoices(w, r, x, more, ignored, f.stream(h))
	}
	answers, err := httpapi.CollectChoices(w, r, x, more, ignored)
	if err != nil {
		return err
	}
	wire.Write(w, http.StatusOK, f.answer(h, answers))
	return nil
}

// prepare completes the turn with what is not in the body.
func (d *Dialect) prepare(r *http.Request, q *request) error {
	if err := httpapi.Strict(&q.turn, d.config.StrictParams, q.ignored, q.unknown); err != nil {
		return err
	}
	httpapi.Sign(r, &q.turn, d.Name())
	if err := httpapi.ModeOf(r, &q.turn); err != nil {
		return err
	}
	if q.turn.Keep != nil && q.choices() > 1 {
		return &wire.Error{Path: "n", Problem: "must be 1 in a session (X-Clinvk-Session): it goes on with one answer"}
	}
	q.turn.Choices = q.choices()
	return d.config.Media.Complete(r.Context(), &q.turn)
}

func (d *Dialect) listModels(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
	b := []byte(`{"object":"list","data":[`)
	for i, m := range d.config.Engine.Models() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendModel(b, m)
	}
	wire.Write(w, http.StatusOK, append(b, "]}"...))
	return nil
}

func (d *Dialect) getModel(w http.ResponseWriter, _ *http.Request, p httprouter.Params) error {
	m, err := d.config.Engine.Model(strings.TrimPrefix(p.ByName("model"), "/"))
	if err != nil {
		return err
	}
	wire.Write(w, http.StatusOK, appendModel(nil, m))
	return nil
}

// appendModel appends a model; created is 0 when it is unknown.
func appendModel(b []byte, m engine.Model) []byte {
	var created int64
	if !m.Created.IsZero() {
		created = m.Created.Unix()
	}
	b = wire.AppendString(append(b, `{"id":`...), m.ID)
	b = wire.AppendInt(b, `,"object":"model","created":`, created)
	b = wire.AppendString(append(b, `,"owned_by":`...), owner(m))
	return append(b, '}')
}

func owner(m engine.Model) string {
	if m.Backend == "" {
		return "clinvk"
	}
	return m.Backend
}
