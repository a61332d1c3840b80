// A client made of libovsdb, to be measured beside ours.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
)

// LoadBalancer has the columns that the other clients read too.
type LoadBalancer struct {
	UUID            string            `ovsdb:"_uuid"`
	Name            string            `ovsdb:"name"`
	Vips            map[string]string `ovsdb:"vips"`
	Protocol        *string           `ovsdb:"protocol"`
	Options         map[string]string `ovsdb:"options"`
	SelectionFields []string          `ovsdb:"selection_fields"`
	ExternalIDs     map[string]string `ovsdb:"external_ids"`
}

const table = "Load_Balancer"

func main() {
	if len(os.Args) != 4 {
		fail(fmt.Errorf("usage: %s ENDPOINT dump|sequential|updates COUNT", os.Args[0]))
	}
	count, err := strconv.Atoi(os.Args[3])
	if err != nil {
		fail(err)
	}
	before := status("VmRSS:")
	begin := time.Now()
	db := connect(os.Args[1])
	elapsed := time.Since(begin)
	switch os.Args[2] {
	case "dump":
		rows := db.Cache().Table(table).Len()
		runtime.GC()
		debug.FreeOSMemory()
		say(map[string]any{
			"seconds": elapsed.Seconds(), "rows": rows,
			"peak": status("VmHWM:"), "grown": status("VmRSS:") - before,
		})
	case "sequential":
		sequential(db, count)
	case "updates":
		updates(db, count)
	}
}

func connect(endpoint string) client.Client {
	schema, err := model.NewClientDBModel("OVN_Northbound", map[string]model.Model{table: &LoadBalancer{}})
	if err != nil {
		fail(err)
	}
	schema.SetIndexes(map[string][]model.ClientIndex{
		table: {{Columns: []model.ColumnKey{{Column: "name"}}}},
	})
	quiet := logr.Discard()
	db, err := client.NewOVSDBClient(schema, client.WithEndpoint(endpoint), client.WithLogger(&quiet))
	if err != nil {
		fail(err)
	}
	if err := db.Connect(context.Background()); err != nil {
		fail(err)
	}
	if _, err := db.MonitorAll(context.Background()); err != nil {
		fail(err)
	}
	return db
}

// sequential inserts rows one after the other, each in a transaction of its own.
func sequential(db client.Client, count int) {
	times := make([]float64, 0, count)
	for number := 0; number < count; number++ {
		tcp := "tcp"
		row := &LoadBalancer{
			UUID: uuid.NewString(), Name: "measured-" + uuid.NewString(), Protocol: &tcp,
			Vips: map[string]string{fmt.Sprintf("192.0.2.1:%d", number%60000+1): "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80"},
		}
		begin := time.Now()
		operations, err := db.Create(row)
		if err != nil {
			fail(err)
		}
		results, err := db.Transact(context.Background(), operations...)
		if err != nil {
			fail(err)
		}
		for _, result := range results {
			if result.Error != "" {
				fail(fmt.Errorf("%s: %s", result.Error, result.Details))
			}
		}
		times = append(times, time.Since(begin).Seconds())
	}
	say(map[string]any{"times": times})
}

// updates says when it is ready, and when it has seen that many changed rows since.
func updates(db client.Client, count int) {
	done := make(chan time.Time, 1)
	seen, first := 0, time.Time{}
	db.Cache().AddEventHandler(&cache.EventHandlerFuncs{
		UpdateFunc: func(string, model.Model, model.Model) {
			if seen == 0 {
				first = time.Now()
			}
			seen++
			if seen == count {
				done <- time.Now()
			}
		},
	})
	fmt.Println(`{"ready":true}`)
	last := <-done
	say(map[string]any{"seconds": last.Sub(first).Seconds()})
}

// status reads a line of /proc/self/status, in bytes.
func status(field string) int {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		fail(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), field); found {
			kib, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kib * 1024
		}
	}
	return 0
}

func say(value map[string]any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
