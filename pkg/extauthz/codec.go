package extauthz

import (
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that is wrapped
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// A lenient codec reads a CheckRequest that is not one as the empty request,
// which is refused and recorded like any other. grpc-go would answer it with an
// error before Check sees it, and an error may be an allow to Envoy (invariant
// 3): a string that is not UTF-8, for instance, which old Envoys take from the
// client's certificate.
type lenient struct{ encoding.CodecV2 }

func newLenient() lenient { return lenient{encoding.GetCodecV2("proto")} }

// Unmarshal reads data into v.
func (c lenient) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	if in, ok := v.(*authv3.CheckRequest); ok && err != nil {
		proto.Reset(in) // a part of a request could be taken for the whole
		return nil
	}
	return err
}
