//go:build unix

package harness

import "github.com/clinvk/clinvk/test/apicheck"

// check puts the checking proxy before the server, if wanted.
func (s *Server) check(wanted bool) error {
	s.URL = s.Direct
	if !wanted {
		return nil
	}
	document, err := apicheck.Own()
	if err == nil {
		s.proxy, err = apicheck.NewProxy(document, s.Direct)
	}
	if err != nil {
		s.Kill()
		return err
	}
	s.URL = s.proxy.URL
	return nil
}
