package anthropic

import (
	"context"
	"net/http"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/media"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// Engine is what the dialect needs of the engine.
type Engine interface {
	Execute(ctx context.Context, t *engine.Turn) (*engine.Execution, error)
	CountTokens(ctx context.Context, t *engine.Turn) (engine.TokenCount, error)
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
	// Media fetches linked images and documents; nil: none is fetched.
	Media *media.Fetcher
}

// Dialect is Anthropic's. It implements httpapi.Dialect; its methods may be called
// concurrently.
type Dialect struct{ config Config }

// New makes the dialect.
func New(c Config) *Dialect { return &Dialect{config: c} }

// Name for logs.
func (*Dialect) Name() string { return "anthropic" }

// Prefixes of paths whose errors are Anthropic's.
func (*Dialect) Prefixes() []string { return []string{"/anthropic"} }

// prefixes are where the routes are. The second is where a client goes that was given
// an address ending in /v1, as some other clients need it.
var prefixes = []string{"/anthropic/v1", "/anthropic/v1/v1"}

// Routes lists what there is, and what there is in Anthropic's API but not here.
func (d *Dialect) Routes() []httpapi.Route {
	var out []httpapi.Route
	for _, prefix := range prefixes {
		out = append(out,
			httpapi.Route{Method: http.MethodPost, Pattern: prefix + "/messages", OperationID: "createMessage", Handle: d.message},
			httpapi.Route{Method: http.MethodPost, Pattern: prefix + "/messages/count_tokens", OperationID: "countMessageTokens", Handle: d.countTokens},
			httpapi.Route{Method: http.MethodGet, Pattern: prefix + "/models", OperationID: "listAnthropicModels", Handle: d.listModels},
			httpapi.Route{Method: http.MethodGet, Pattern: prefix + "/models/*model", OperationID: "getAnthropicModel", Handle: d.getModel},
		)
		for _, m := range missing {
			for _, method := range m.methods {
				out = append(out, httpapi.Route{Method: method, Pattern: prefix + m.path, OperationID: "unsupportedAnthropic", Handle: unsupported(m.what)})
			}
		}
	}
	return out
}

// missing lists the parts of Anthropic's API that the CLIs have nothing for. They are
// routes, so that clients are told so, and not that they have a wrong address.
var missing = []struct {
	methods    []string
	path, what string
}{
	{post, "/complete", "the legacy completions; use /v1/messages"},
	{all, "/messages/batches", "batches"},
	{all, "/messages/batches/*rest", "batches"},
	{all, "/files", "files; send a file as a block of a message"},
	{all, "/files/*rest", "files; send a file as a block of a message"},
	{all, "/skills", "skills"},
	{all, "/skills/*rest", "skills"},
}

var (
	post = []string{http.MethodPost}
	all  = []string{http.MethodGet, http.MethodPost, http.MethodDelete}
)

func unsupported(what string) httpapi.Handler {
	return func(http.ResponseWriter, *http.Request, httprouter.Params) error {
		return httpapi.Errorf(http.StatusNotImplemented, "clinvk does not offer %s", what)
	}
}

// message answers POST /v1/messages.
func (d *Dialect) message(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	q, err := d.decode(r, termsOf(r))
	if err != nil {
		return err
	}
	x, err := d.config.Engine.Execute(r.Context(), &q.turn)
	if err != nil {
		return err
	}
	defer x.Close()
	ignored := q.words(x.Ignored)
	if q.stream {
		return httpapi.Stream(w, r, x, ignored, newStream(q.shape(x)))
	}
	answer, err := httpapi.Collect(w, r, x, ignored)
	if err != nil {
		return err
	}
	wire.Write(w, http.StatusOK, encodeAnswer(q.shape(x), answer))
	return nil
}

// decode reads a request whose body is that of a message.
func (d *Dialect) decode(r *http.Request, t terms) (*messagesRequest, error) {
	body, err := httpapi.ReadBody(r)
	if err != nil {
		return nil, err
	}
	q, err := decodeMessages(body, t)
	if err != nil {
		return nil, err
	}
	if err := httpapi.Strict(&q.turn, d.config.StrictParams, q.ignored, q.unknown); err != nil {
		return nil, err
	}
	httpapi.Sign(r, &q.turn, d.Name())
	if err := httpapi.ModeOf(r, &q.turn); err != nil {
		return nil, err
	}
	return q, d.config.Media.Complete(r.Context(), &q.turn)
}
