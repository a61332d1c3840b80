// Measures the allocator of MetalLB: how long it takes to assign an address of a pool and to take
// it back, with the pool empty and with nine tenths of it in use, without what the clock takes.
// Prints one JSON object.
//
// It is compiled within a copy of MetalLB's module, whose allocator nothing else can import.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"go.universe.tf/metallb/internal/allocator"
	"go.universe.tf/metallb/internal/config"
	"go.universe.tf/metallb/internal/ipfamily"
)

const (
	pool    = "pool"
	size    = 4096
	samples = 2000
)

type medians struct {
	Assign  float64 `json:"assign"`
	Release float64 `json:"release"`
}

func service(number int) (string, *v1.Service) {
	name := fmt.Sprintf("service-%d", number)
	meta := metav1.ObjectMeta{Namespace: "namespace", Name: name}
	return "namespace/" + name, &v1.Service{ObjectMeta: meta}
}

var ports = []allocator.Port{{Proto: "TCP", Port: 80}}

func assign(a *allocator.Allocator, key string, svc *v1.Service) {
	_, err := a.AllocateFromPool(key, svc, ipfamily.IPv4, pool, ports, "", "")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// What reading the clock takes.
func clock() time.Duration {
	var times []time.Duration
	for range samples {
		begin := time.Now()
		times = append(times, time.Since(begin))
	}
	return median(times)
}

func measure(used int) medians {
	_, cidr, _ := net.ParseCIDR("10.0.0.0/20")
	only := &config.Pool{Name: pool, CIDR: []*net.IPNet{cidr}, AutoAssign: true}
	a := allocator.New(func(string) {})
	a.SetPools(&config.Pools{ByName: map[string]*config.Pool{pool: only}})
	for number := range used {
		key, svc := service(number)
		assign(a, key, svc)
	}
	var assigned, released []time.Duration
	key, svc := service(size)
	for range samples {
		begin := time.Now()
		assign(a, key, svc)
		assigned = append(assigned, time.Since(begin))
		begin = time.Now()
		a.Unassign(key)
		released = append(released, time.Since(begin))
	}
	without := func(times []time.Duration) float64 { return (median(times) - clock()).Seconds() }
	return medians{without(assigned), without(released)}
}

func main() {
	result := map[string]medians{"empty": measure(0), "full": measure(size * 9 / 10)}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
