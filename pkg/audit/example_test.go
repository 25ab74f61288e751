package audit_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/cedargate/cedargate/pkg/audit"
)

// An answer waits for its record: no record, no allow.
func ExampleLog() {
	log := audit.New(os.Stdout)
	err := log.Record(context.Background(), audit.Record{
		Time:      time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
		Event:     "tool_call",
		Decision:  "allow",
		Layer:     "authorization",
		Reason:    "permitted",
		Status:    200,
		Server:    "shop",
		Tool:      "refund",
		Principal: "User/corp/alice",
		Questions: []audit.Question{{
			Action: "tools/call", Resource: "Tool/shop/refund", Decision: "allow", Policies: []string{"small-refunds"},
		}},
		Duration: 312 * time.Microsecond,
	})
	if err != nil {
		fmt.Println("answer 503:", err)
	}
	if err := log.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {"time":"2026-11-25T12:00:00.000Z","event":"tool_call","decision":"allow","layer":"authorization","reason":"permitted","status":200,"server":"shop","tool":"refund","principal":"User/corp/alice","questions":[{"action":"tools/call","resource":"Tool/shop/refund","decision":"allow","policies":["small-refunds"]}],"duration_us":312}
}
