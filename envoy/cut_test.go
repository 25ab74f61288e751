package envoy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// Over HTTP/2 the frame that ends a body may push it over the limit of
// ext_authz: the check then gets the first part, and the server all of it.
// body_size_limit closes that hole, as its absence shows.
func TestNoBodyIsCheckedCutAndServedWhole(t *testing.T) {
	const limit, sent = 1000, 9000
	small := map[string]any{
		stack.ExtAuthzPath + "/with_request_body/max_request_bytes": limit,
		stack.SizeLimitPath + "/typed_config/max_request_bytes":     limit,
	}
	open := map[string]any{
		stack.ExtAuthzPath + "/with_request_body/max_request_bytes": limit,
		stack.SizeLimitPath: nil,
	}
	tests := []struct {
		name   string
		set    map[string]any
		status string
		served int // bytes that the server gets
	}{
		{"as documented", small, "413", 0},
		{"without body_size_limit", open, "200", sent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, server := running(t, stack.EnvoyConfig{Set: tt.set})
			status := postOneFrame(t, e.Addr(), bytes.Repeat([]byte{'x'}, sent))
			served := 0
			for _, r := range server.Requests() {
				served += len(r.Body)
			}
			if status != tt.status || served != tt.served {
				t.Errorf("one frame of %d bytes = %s and %d bytes served, want %s and %d", sent, status, served, tt.status, tt.served)
			}
		})
	}
}

// postOneFrame sends body in one DATA frame that ends the stream, without a
// content-length, and returns the status of the answer.
func postOneFrame(t *testing.T, address string, body []byte) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var head bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":authority", address}, {":path", "/mcp"}, {"content-type", "application/json"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = io.WriteString(conn, http2.ClientPreface)
	err = errors.Join(err, framer.WriteSettings(),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true}),
		framer.WriteData(1, true, body))
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("reading the answer: %v", err)
		}
		if answer, ok := frame.(*http2.MetaHeadersFrame); ok {
			return answer.PseudoValue("status")
		}
	}
}
