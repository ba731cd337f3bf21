// Package fakeapi holds what the fake model APIs of the end-to-end tests share:
// the script that a prompt carries and the log of requests. The servers are in
// the packages below it, one per wire protocol. They listen on loopback only.
package fakeapi
