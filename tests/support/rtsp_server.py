"""An RTSP server on loopback: `/usr/bin/python3 tests/support/rtsp_server.py PORT KIND`; Debian's GStreamer.

KIND is `jpeg` or `broken`, which accepts connections and lets a client wait 20 s for the stream. It prints `ready`.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402  (after the versions are chosen)

SOURCE = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=25/1 ! videoconvert"
LAUNCH = {
    "jpeg": f"( {SOURCE} ! video/x-raw,format=I420 ! jpegenc ! rtpjpegpay name=pay0 )",
    "broken": f"( {SOURCE} ! video/x-raw,format=GRAY8 ! jpegenc ! valve drop=true ! rtpjpegpay name=pay0 )",
}


def main():
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH[sys.argv[2]])
    factory.set_shared(True)
    server.get_mount_points().add_factory("/a", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
