package audit_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/cedargate/cedargate/pkg/audit"
	cedargatev1 "github.com/cedargate/cedargate/proto/cedargate/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

// The definition of a record, the type Record and the line have the same
// fields: a full Record leaves none of the definition's empty, and its line has
// none that the definition does not know.
func TestLineIsADecision(t *testing.T) {
	r := reflect.ValueOf(full())
	for i := range r.NumField() {
		if r.Field(i).IsZero() {
			t.Errorf("full() leaves %s empty", r.Type().Field(i).Name)
		}
	}
	var d cedargatev1.Decision
	if err := protojson.Unmarshal([]byte(written(t, full())), &d); err != nil {
		t.Fatalf("Unmarshal(line) = %v, want nil", err)
	}
	for _, m := range []protoreflect.Message{d.ProtoReflect(), d.GetQuestions()[0].ProtoReflect()} {
		fields := m.Descriptor().Fields()
		for i := range fields.Len() {
			if !m.Has(fields.Get(i)) {
				t.Errorf("the line lacks %s", fields.Get(i).FullName())
			}
		}
	}
	if got, want := r.NumField(), d.ProtoReflect().Descriptor().Fields().Len(); got != want {
		t.Errorf("Record has %d fields, Decision %d", got, want)
	}
}

func TestAnyNumberFitsTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r audit.Record
		r.Status = rapid.Int().Draw(t, "status")
		r.Duration = time.Duration(rapid.Int64().Draw(t, "duration"))
		line := written(t, r)
		if err := protojson.Unmarshal([]byte(line), &cedargatev1.Decision{}); err != nil {
			t.Fatalf("Unmarshal(%s) = %v, want nil", line, err)
		}
	})
}
