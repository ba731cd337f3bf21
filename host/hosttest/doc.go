// Package hosttest is a backend plugin that misbehaves as told: the test binary,
// executed again. It shows what hosts must survive; real plugins use the SDK.
package hosttest
