//go:build linux

package isolation_test

func runSDKPlugin() {}
func runHost()      {}
