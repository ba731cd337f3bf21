package plugins_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// countless is a backend that fails to count.
type countless struct {
	scripted
	err error
}

func (c countless) CountTokens(context.Context, *plugins.Turn) (int64, bool, error) {
	return 0, false, c.err
}

// The host tells from the status whether the request is at fault.
func TestStatusOfErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want codes.Code
	}{
		{plugins.Errorf(plugins.CodeInvalidRequest, "why"), codes.InvalidArgument},
		{plugins.Errorf(plugins.CodeUnsupported, "why"), codes.InvalidArgument},
		{plugins.Errorf(plugins.CodeNotFound, "why"), codes.NotFound},
		{plugins.Errorf(plugins.CodeUpstreamUnreachable, "why"), codes.Unknown},
		{errors.New("why"), codes.Unknown},
	} {
		client := backendtest.Connect(t, countless{err: tt.err})
		_, err := client.CountTokens(t.Context(), &backendv1.CountTokensRequest{})
		if status.Code(err) != tt.want || status.Convert(err).Message() != "why" {
			t.Errorf("%v: got %v, want %v", tt.err, err, tt.want)
		}
	}
}

func TestCodeOfStatus(t *testing.T) {
	for _, tt := range []struct {
		status    int
		message   string
		want      plugins.Code
		retryable bool
	}{
		{400, "overloaded", plugins.CodeInvalidRequest, false},
		{401, "", plugins.CodeUnauthenticated, false},
		{402, "", plugins.CodeQuotaExhausted, false},
		{403, "", plugins.CodePermissionDenied, false},
		{404, "", plugins.CodeNotFound, false},
		{408, "", plugins.CodeUpstreamFailure, true},
		{413, "", plugins.CodeTooLarge, false},
		{418, "", plugins.CodeInvalidRequest, false},
		{429, "", plugins.CodeRateLimited, true},
		{500, "", plugins.CodeUpstreamFailure, true},
		{503, "The model is Overloaded.", plugins.CodeOverloaded, true},
		{529, "", plugins.CodeOverloaded, true},
	} {
		if code, retryable := plugins.CodeOfStatus(tt.status, tt.message); code != tt.want || retryable != tt.retryable {
			t.Errorf("%d %q: code %d, retryable %v", tt.status, tt.message, code, retryable)
		}
	}
}
