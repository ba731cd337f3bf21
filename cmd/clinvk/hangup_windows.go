package main

// onHangup does nothing: there is no such signal here.
func onHangup(_, _ func()) (stop func()) { return func() {} }
