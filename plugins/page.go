package plugins

import (
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Page sizes of the listing methods.
const (
	defaultPage = 100
	maxPage     = 1000
)

// page cuts [from,to) out of n items; the token is the index to go on from.
func page(n int, size int32, token string) (from, to int, next string, err error) {
	if size <= 0 {
		size = defaultPage
	}
	size = min(size, maxPage)
	if token != "" {
		if from, err = strconv.Atoi(token); err != nil || from < 0 {
			return 0, 0, "", status.Errorf(codes.InvalidArgument, "page_token %q is not one of ours", token)
		}
	}
	from = min(from, n)
	to = min(from+int(size), n)
	if to < n {
		next = strconv.Itoa(to)
	}
	return from, to, next, nil
}
