#!/bin/sh
# The health check of the container of NATS: is it ready, and does it store?
#
# After a failed write, as on a full disk, a stream refuses every further write until the server restarts, also when
# there is room again; the server's own health check names it. Docker restarts no container because it is unhealthy, so
# this ends the server when it has not stored for a minute while there is room, and docker starts it again
# (`restart: unless-stopped`). The process with number 1 is docker's init, which passes the signal on.

: "${DATA:=/data}" "${PORT:=8222}" "${SERVER:=1}" "${STUCK:=/tmp/nats-does-not-store}"
ROOM_KIB=65536 # eight blocks of a stream: with less the next write may fail again

health=$(printf 'GET /healthz HTTP/1.0\r\n\r\n' | nc -w 3 127.0.0.1 "$PORT")
case $health in
*'"status":"ok"'*)
  rm -f "$STUCK"
  exit 0
  ;;
*'write error'*) ;;
*)
  echo "$health"
  exit 1
  ;;
esac

free=$(df -Pk "$DATA" | awk 'NR == 2 { print $4 }')
[ -w "$DATA" ] || free=0 # read-only: a restart would not help
now=$(date +%s)
[ -s "$STUCK" ] || echo "$now" >"$STUCK"
if [ "$free" -lt "$ROOM_KIB" ]; then
  rm -f "$STUCK"
  echo "NATS does not store events: its volume is full or read-only; until then changes wait. $health"
elif [ $((now - $(cat "$STUCK"))) -lt 60 ]; then
  echo "NATS does not store events though its volume has room. $health"
else
  rm -f "$STUCK"
  echo "NATS has not stored events for a minute though its volume has room: it is restarted. $health"
  kill -TERM "$SERVER"
fi
exit 1
