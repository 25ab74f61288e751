package extauthz_test

import (
	"context"
	"net"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/extauthz"
)

// raw sends bytes as they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	return proto.Unmarshal(data.Materialize(), v.(proto.Message))
}

// What is no CheckRequest is refused, not answered by gRPC.
func TestInvariant03UndecodableRequest(t *testing.T) {
	e := &engine{result: authz.Result{Status: 403}}
	server := grpc.NewServer(extauthz.Options()...)
	extauthz.New(extauthz.Config{Engine: e}).Register(server)
	listener := bufconn.Listen(1 << 20)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:test", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })

	whole, err := proto.Marshal(request(nil))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{
		"not protobuf":   []byte("hello"),
		"cut off":        whole[:len(whole)-1],
		"not UTF-8":      append(whole, 0x0a, 0x05, 0x0a, 0x03, 0x22, 0x01, 0xff), // attributes.source.principal
		"nothing at all": {},
	} {
		e.asked = authz.Request{Path: "not asked"}
		var out authv3.CheckResponse
		err := conn.Invoke(t.Context(), authv3.Authorization_Check_FullMethodName, text, &out, grpc.ForceCodecV2(raw{}))
		if err != nil || !denies(&out, 403) {
			t.Errorf("Check of a request that is %s = %v, %v; want a denial", what, &out, err)
		}
		if e.asked.Path != "" || e.asked.Named {
			t.Errorf("Check of a request that is %s asks about a part of it: %+v", what, e.asked)
		}
	}
}
