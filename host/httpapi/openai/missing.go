package openai

import (
	"net/http"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/httpapi"
)

// missing lists the parts of OpenAI's API that the CLIs have nothing for. They are
// routes, so that clients are told so, and not that they have a wrong address.
var missing = []struct {
	methods    []string
	path, what string
}{
	{post, "/responses", "the Responses API; use /chat/completions"},
	{getDelete, "/responses/*rest", "stored responses"},
	{post, "/embeddings", "embeddings"},
	{post, "/moderations", "moderations"},
	{post, "/audio/*rest", "audio"},
	{post, "/images/*rest", "images"},
	{all, "/files", "files; send a file as a part of a message"},
	{all, "/files/*rest", "files; send a file as a part of a message"},
	{all, "/uploads", "uploads"},
	{all, "/uploads/*rest", "uploads"},
	{all, "/batches", "batches"},
	{all, "/batches/*rest", "batches"},
	{all, "/fine_tuning/*rest", "fine-tuning"},
	{all, "/assistants", "assistants"},
	{all, "/assistants/*rest", "assistants"},
	{all, "/threads", "threads"},
	{all, "/threads/*rest", "threads"},
	{all, "/vector_stores", "vector stores"},
	{all, "/vector_stores/*rest", "vector stores"},
	{all, "/conversations", "conversations"},
	{all, "/conversations/*rest", "conversations"},
	{all, "/videos", "videos"},
	{all, "/videos/*rest", "videos"},
	{all, "/realtime/*rest", "realtime sessions"},
}

var (
	post      = []string{http.MethodPost}
	getDelete = []string{http.MethodGet, http.MethodDelete}
	all       = []string{http.MethodGet, http.MethodPost, http.MethodDelete}
)

func unsupported(what string) httpapi.Handler {
	return func(http.ResponseWriter, *http.Request, httprouter.Params) error {
		return httpapi.Errorf(http.StatusNotImplemented, "clinvk does not offer %s", what)
	}
}
