"""Which kinds of file are opened: those that hold their sound and pictures themselves.

A playlist names other files, which FFmpeg would open: any of the machine, and by some protocols of the network. What a
file is called tells nothing, so the demuxers are named here that may open it.
"""

from __future__ import annotations

FORMATS = (
    # containers of sound and pictures
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "avi",
    "flv,live_flv,kux",
    "mpeg,mpegts,mpegtsraw,mpegvideo",
    "asf,asf_o",
    "mxf,gxf,nut,ogg,rm,ivr,dv,wtv,nsv,nuv,ty,pva,ivf,obu,swf,roq,smk,bink,dhav",
    # sound
    "wav,w64,aiff,caf,au,flac,mp3,aac,loas,ac3,eac3,ac4,dts,dtshd,truehd,mlp,amr,amrnb,amrwb,ape,wv,tta,tak,voc",
    "mpc,mpc8,oma,shn,gsm,g722,g729,g723_1,ilbc,qcp,sox,ircam,nistsphere,avr,iff,dsf,iamf,spdif,xwma,act,aea,aptx,sbc",
    "lc3,qoa,osq,adx,hca,brstm,bfstm,pvf,rso,wve,paf,xa,vqf,bonk,wavarc,mmf,dss,aa,aax",
    # pictures without a container, which have no sound: so that this can be said of them
    "h261,h263,h264,hevc,vvc,m4v,av1,vc1,mjpeg,mpjpeg,dirac,cavsvideo,avs2,avs3,dnxhd,yuv4mpegpipe,gif,apng,jpegxl_anim",
    "jpeg_pipe,jpegls_pipe,jpegxl_pipe,j2k_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe,ppm_pipe,pgm_pipe,exr_pipe,psd_pipe",
)
"""Names of FFmpeg's demuxers. None of them opens a second file. Left out are concat, hls, dash, imf, image2 (patterns
of names), rtsp and sdp, vobsub, sbg and other scripts, and raw samples without a header."""

_NAMES = (
    # sound and pictures
    "3g2 3gp asf avi dav dv f4v flv gxf ism ismv ivr kux m2t m2ts m4v mj2 mk3d mkv mov mp4 mpeg mpg mts mxf nsv",
    "nut nuv ogm ogv psp rm rmvb roq swf ts ty vob webm wmv wtv",
    # sound
    "aa aa3 aac aax ac3 ac4 adx aif aifc aiff amr ape au avr caf dff dsf dss dts dtshd ec3 eac3 flac g722 gsm hca iamf",
    "isma lc3 loas m2a m4a m4b mac mka mlp mmf mp2 mp3 mpa mpc nist oga ogg oma opus osq pvf qcp qoa ra sbc shn snd",
    "spdif spx sph tak thd tta voc vqf w64 wav wma wv xa",
)
SUFFIXES = frozenset(f".{name}" for names in _NAMES for name in names.split())
"""How files are called that hold sound, alone or with pictures: what a folder is searched for. A clip that is named
itself may be called anything."""

OPEN_OPTIONS = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
"""For av.open of a file that somebody else made."""
